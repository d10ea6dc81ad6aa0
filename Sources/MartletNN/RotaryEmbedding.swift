import Foundation
import MartletTensor
import MartletWire

// N tokens, H heads, K head size, R rotated dimensions of a head

/// How far queries and keys are turned at each place, and how that is stretched to longer texts.
public struct RotaryConfig: Sendable, Equatable {
    /// The ways of stretching, named as in Hugging Face's `rope_scaling`.
    public enum Scaling: Sendable, Equatable {
        case none
        case linear(factor: Double)
        /// The base grows with the longest sequence of the pass once that is over `contextLength`.
        case dynamic(factor: Double)
        case llama3(factor: Double, low: Double, high: Double, original: Int)
        case yarn(factor: Double, fast: Double, slow: Double, original: Int, attention: Double, truncates: Bool)
        /// `long` is used once the longest sequence of the pass is over `original`.
        case longrope(short: [Double], long: [Double], original: Int, attention: Double)
    }

    /// R, an even number.
    public var size: Int
    public var theta: Double
    /// The length that `dynamic` starts from.
    public var contextLength: Int
    public var scaling: Scaling

    public init(size: Int, theta: Double = 10_000, contextLength: Int, scaling: Scaling = .none) {
        self.size = size
        self.theta = theta
        self.contextLength = contextLength
        self.scaling = scaling
    }

    /// The longest text whose angles do not hang on its length, so that they can be computed piece by piece.
    public var stableLength: Int? {
        switch scaling {
        case .dynamic: contextLength
        case .longrope(let short, let long, let original, _): short == long ? nil : original
        default: nil
        }
    }
}

/// Turns pairs of dimensions by angles that grow with the place (Su and others, 2021), as `transformers` computes it:
/// dimension i is paired with i + R/2.
public final class RotaryEmbedding {
    private let config: RotaryConfig
    /// 1 for the usual frequencies; `attention` of yarn and longrope.
    private let amplitude: Double
    private let frequencies: Tensor

    public init(_ config: RotaryConfig, device: Device = .cpu) throws {
        guard config.size > 0, config.size % 2 == 0, config.theta > 0, config.theta.isFinite else {
            throw MartletError(
                .unsupportedFormat,
                "rotary positions of \(config.size) dimensions at base \(config.theta): an even number is needed")
        }
        self.config = config
        amplitude =
            switch config.scaling {
            case .yarn(_, _, _, _, let attention, _), .longrope(_, _, _, let attention): attention
            default: 1
            }
        frequencies = try Tensor(config.frequencies(for: 0), shape: [1, config.size / 2], device: device)
    }

    /// positions [N] → the angles of this pass, to be used in every layer.
    public func callAsFunction(_ positions: Tensor) throws -> RotaryAngles {
        var frequencies = frequencies
        if let stable = config.stableLength, positions.count > 0 {
            let length = try positions.max().intItem() + 1
            if length > stable {
                frequencies = try Tensor(
                    config.frequencies(for: length), shape: [1, config.size / 2], device: positions.device)
            }
        }
        let angles = try positions.to(.float32).unsqueeze(1).mul(frequencies.to(positions.device))
        let wide = try Tensor.cat([angles, angles], axis: -1).unsqueeze(1)
        let (cos, sin) = (try wide.cos(), try wide.sin())
        guard amplitude != 1 else { return RotaryAngles(cos: cos, sin: sin) }
        return RotaryAngles(cos: try cos.mul(amplitude), sin: try sin.mul(amplitude))
    }
}

/// Sines and cosines [N, 1, R] of the tokens of one pass.
public struct RotaryAngles {
    public let cos: Tensor
    public let sin: Tensor

    /// Turns the first R dimensions of each head: [N, H, K] → [N, H, K].
    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        if let turned = try x.rotated(cos: cos, sin: sin) { return turned }
        let size = cos.size(-1)
        guard size < x.size(-1) else { return try turned(x) }
        let parts = try x.split([size, x.size(-1) - size], axis: -1)
        return try Tensor.cat([turned(parts[0]), parts[1]], axis: -1)
    }

    private func turned(_ x: Tensor) throws -> Tensor {
        let halves = try x.chunk(2, axis: -1)
        return try x.mul(cos).add(Tensor.cat([halves[1].neg(), halves[0]], axis: -1).mul(sin))
    }
}

extension RotaryConfig {
    /// The angle per place of each pair, for a pass whose longest sequence has `length` tokens. In single precision
    /// step by step, as the models were trained.
    func frequencies(for length: Int) -> [Float] {
        let plain = powers(theta).map { 1 / $0 }
        switch scaling {
        case .none: return plain
        case .linear(let factor): return plain.map { $0 / Float(factor) }
        case .dynamic(let factor):
            let ratio = Double(max(length, contextLength)) / Double(contextLength)
            let exponent = Double(size) / Double(max(1, size - 2))
            return powers(theta * pow(factor * ratio - (factor - 1), exponent)).map { 1 / $0 }
        case .llama3(let factor, let low, let high, let original):
            return plain.map { frequency in
                let length = 2 * Double.pi / Double(frequency)
                if length < Double(original) / high { return frequency }
                if length > Double(original) / low { return frequency / Float(factor) }
                let smooth = (Double(original) / length - low) / (high - low)
                return Float((1 - smooth) * Double(frequency) / factor + smooth * Double(frequency))
            }
        case .yarn(let factor, let fast, let slow, let original, _, let truncates):
            let place = { [size, theta] (turns: Double) in
                Double(size) * log(Double(original) / (turns * 2 * .pi)) / (2 * log(theta))
            }
            let low = max(truncates ? place(fast).rounded(.down) : place(fast), 0)
            var high = min(truncates ? place(slow).rounded(.up) : place(slow), Double(size - 1))
            if low == high { high += 0.001 }
            return plain.enumerated().map { index, frequency in
                let ramp = Float(min(max((Double(index) - low) / (high - low), 0), 1))
                return frequency / Float(factor) * ramp + frequency * (1 - ramp)
            }
        case .longrope(let short, let long, let original, _):
            let factors = length > original ? long : short
            return zip(powers(theta), factors).map { 1 / (Float($1) * $0) }
        }
    }

    /// base^(2i/R) for each pair.
    private func powers(_ base: Double) -> [Float] {
        (0..<size / 2).map { powf(Float(base), Float(2 * $0) / Float(size)) }
    }
}
