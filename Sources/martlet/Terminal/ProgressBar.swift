import Foundation
import MartletWire

/// A job's progress: one line that redraws itself on a terminal, a line every few seconds elsewhere.
final class ProgressBar {
    private static let quietSeconds = 5.0
    private let isLive: Bool
    private let isSilent: Bool
    private var lastLine = Date.distantPast
    private var lastPhase = ""
    private var isDrawn = false

    init(isQuiet: Bool) {
        isLive = Console.isTerminal && !isQuiet
        isSilent = isQuiet
    }

    func update(_ progress: JobProgress) {
        guard !isSilent else { return }
        if isLive {
            Console.write("\r\u{1B}[K" + Self.line(progress, width: Console.width, hasBar: true))
            isDrawn = true
        } else if progress.phase != lastPhase || Date().timeIntervalSince(lastLine) >= Self.quietSeconds {
            Console.note(Self.line(progress, width: 200, hasBar: false))
            lastLine = Date()
        }
        lastPhase = progress.phase
    }

    /// A line of its own, above the bar.
    func say(_ text: String) {
        guard !isSilent else { return }
        clear()
        Console.note(Console.inert(text))
    }

    func clear() {
        guard isDrawn else { return }
        Console.write("\r\u{1B}[K")
        isDrawn = false
    }

    /// `training  epoch 2/5  [####----]  step 812/4220  loss 0.3121  accuracy 0.8930  9,120 images/s  0:42 left`
    static func line(_ progress: JobProgress, width: Int, hasBar: Bool) -> String {
        var parts = [progress.phase]
        if progress.totalEpochs > 0 { parts.append("epoch \(progress.epoch)/\(progress.totalEpochs)") }
        if hasBar, progress.totalSteps > 0 {
            let count = 20
            let full = min(count, max(0, count * progress.step / progress.totalSteps))
            parts.append(
                "[" + String(repeating: "#", count: full) + String(repeating: "-", count: count - full) + "]")
        }
        if progress.totalSteps > 0 { parts.append("step \(progress.step)/\(progress.totalSteps)") }
        if let loss = progress.loss { parts.append("loss \(Format.number(loss))") }
        if let metric = progress.metric, let value = progress.metricValue {
            parts.append("\(metric) \(Format.number(value))")
        }
        if progress.perSecond > 0 {
            parts.append("\(Format.count(Int(min(progress.perSecond, 1e15).rounded()))) \(progress.unit)/s")
        }
        if let left = progress.secondsLeft { parts.append("\(Format.seconds(left)) left") }
        let line = parts.joined(separator: "  ")
        return line.count < width ? line : String(line.prefix(width - 1))
    }
}
