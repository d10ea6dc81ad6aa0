import Foundation
import MartletWire

/// How the learning rate moves: a pure value that gives each step's factor.
///
/// Warm-up rises as (step + 1)/(warmup + 1), so that the first step already learns and the full rate comes right
/// after the warm-up: PyTorch's `LinearLR(start_factor: 1/(warmup + 1))`. The schedules after it are `StepLR`,
/// `CosineAnnealingLR` and `LinearLR` over the steps that are left.
public struct Schedule: Sendable, Equatable {
    private let config: ScheduleConfig
    private let totalSteps: Int

    public init(_ config: ScheduleConfig, totalSteps: Int) {
        self.config = config
        self.totalSteps = totalSteps
    }

    /// What the configured learning rate is multiplied by in a step, counted from 0.
    public func factor(_ step: Int) -> Double {
        let warmup = max(0, config.warmupSteps)
        if step < warmup { return Double(step + 1) / (Double(warmup) + 1) }
        let done = step - warmup
        let left = max(1, totalSteps - warmup)
        let progress = min(1, Double(done) / Double(left))
        let last = config.finalFactor
        switch config.type {
        case .constant: return 1
        case .step: return pow(config.gamma, Double(done / max(1, config.every)))
        case .cosine: return last + (1 - last) * (1 + cos(.pi * progress)) / 2
        case .linear: return 1 + (last - 1) * progress
        }
    }
}
