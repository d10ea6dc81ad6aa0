import Foundation
import MartletStore
import MartletWire

/// What someone who follows a job hears.
public enum JobUpdate: Sendable {
    case event(JobEventInfo)
    case progress(JobProgress)
    /// The job with its new state; the stream ends after a final one.
    case state(JobInfo)
}

/// Background work: accepted, queued, run in worker processes, never lost and never done twice.
public actor JobService {
    /// Accepts a job.
    ///
    /// The same `idempotencyKey` (24 hours) and body give the first job again, another body throws `invalidRequest`
    /// with `param` `Idempotency-Key`. A `retryCount` above 0 (`x-stainless-retry-count`) with the same API key and
    /// body within ten minutes gives the first job too.
    public func submit(
        _ request: JobRequest, idempotencyKey: String? = nil, retryCount: Int = 0, by principal: Principal
    ) async throws -> JobInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// Newest first; `after` is the id of the last job of the page before.
    public func list(after: String? = nil, limit: Int = 100, by principal: Principal) async throws -> Page<JobInfo> {
        Page(data: [])
    }

    public func show(_ id: String, by principal: Principal) async throws -> JobInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// Events with a sequence above `after`, oldest first.
    public func events(
        of id: String, after: Int = 0, limit: Int = 1000, by principal: Principal
    ) async throws -> Page<JobEventInfo> { Page(data: []) }

    /// The job's history from `after` on and then what happens, until it is done. Ends also when `serve` stops.
    public func follow(
        _ id: String, after: Int = 0, by principal: Principal
    ) async throws -> AsyncStream<JobUpdate> {
        throw MartletError(.unavailable, "soon")
    }

    /// What the worker wrote to its standard output and error, from `offset` on, 1 MiB at most.
    public func log(of id: String, from offset: Int = 0, by principal: Principal) async throws -> [UInt8] { [] }

    /// Final within ten seconds.
    public func cancel(_ id: String, by principal: Principal) async throws -> JobInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// The worker stops at a checkpoint; the state is `pausing` until it has.
    public func pause(_ id: String, by principal: Principal) async throws -> JobInfo {
        throw MartletError(.unavailable, "soon")
    }

    public func resume(_ id: String, by principal: Principal) async throws -> JobInfo {
        throw MartletError(.unavailable, "soon")
    }

    /// How many jobs are in each state, for `/metrics`.
    public func counts() async throws -> [JobState: Int] { [:] }
}
