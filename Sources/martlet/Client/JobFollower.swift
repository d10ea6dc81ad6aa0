import Foundation
import MartletWire

/// Shows a job's progress until it ends.
struct JobFollower {
    let client: Client
    let output: Output

    /// The job as it ended, or as it was when it was paused.
    func follow(_ job: JobInfo) async throws -> JobInfo {
        let bar = ProgressBar(isQuiet: output.isQuiet)
        var latest = job
        var state = job.state
        var lastMetrics = Date.distantPast
        defer { bar.clear() }
        try await client.follow(job: job.id) { item in
            switch item {
            case .progress(let progress): bar.update(progress)
            case .event(let info):
                if Self.isShown(info.event, since: &lastMetrics) { bar.say(Self.line(info.event)) }
            case .job(let job):
                if job.state != state, !job.state.isFinal { bar.say("job \(job.id) is \(job.state.rawValue)") }
                state = job.state
                latest = job
            }
        }
        return latest
    }

    /// Metrics of epochs come one a second at most; those of the end stand in the table that follows.
    private static func isShown(_ event: JobEvent, since last: inout Date) -> Bool {
        switch event.type {
        case "checkpoint", "data": return event.level != "info"
        case "metrics":
            guard event.key.hasPrefix("epoch-"), Date().timeIntervalSince(last) >= 1 else { return false }
            last = Date()
            return true
        default: return true
        }
    }

    /// `epoch 3  train: loss 0.71  validation: loss 0.70, accuracy 0.52`.
    private static func line(_ event: JobEvent) -> String {
        var line = event.level == "info" ? event.message : event.level + ": " + event.message
        let order = ["loss", "accuracy", "rmse", "r2", "perplexity"]
        for split in ["train", "validation", "test"] {
            guard let metrics = event.data[split]?.object else { continue }
            let shown = order.compactMap { name in metrics[name]?.double.map { "\(name) \(Format.number($0))" } }
            if !shown.isEmpty { line += "  \(split): " + shown.prefix(3).joined(separator: ", ") }
        }
        return line
    }

    /// Throws what made a job fail.
    static func check(_ job: JobInfo) throws {
        switch job.state {
        case .succeeded, .paused, .queued, .running, .pausing: return
        case .failed: throw job.error ?? MartletError(.internal, "the job failed; see: martlet jobs logs \(job.id)")
        case .cancelled:
            throw MartletError(.cancelled, "the job was cancelled; give the command again to start it anew")
        }
    }
}
