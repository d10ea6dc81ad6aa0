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
        defer { bar.clear() }
        try await client.follow(job: job.id) { item in
            switch item {
            case .progress(let progress): bar.update(progress)
            case .event(let info):
                if info.event.type != "checkpoint" { bar.say(Self.line(info.event)) }
            case .job(let job):
                if job.state != state, !job.state.isFinal { bar.say("job \(job.id) is \(job.state.rawValue)") }
                state = job.state
                latest = job
            }
        }
        return latest
    }

    private static func line(_ event: JobEvent) -> String {
        var line = event.level == "info" ? event.message : event.level + ": " + event.message
        guard event.type == "metrics" else { return line }
        for (name, value) in event.data.object ?? [:] {
            if let number = value.double { line += "  \(name) \(Format.number(number))" }
        }
        return line
    }

    /// Throws what made a job fail.
    static func check(_ job: JobInfo) throws {
        switch job.state {
        case .succeeded, .paused, .queued, .running, .pausing: return
        case .failed: throw job.error ?? MartletError(.internal, "the job failed; see: martlet jobs logs \(job.id)")
        case .cancelled: throw MartletError(.cancelled, "the job was cancelled; start it again with: martlet train")
        }
    }
}
