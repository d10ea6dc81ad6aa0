import Foundation
import MartletStore
import MartletWire

/// What is asked of jobs.
extension JobService {
    /// Newest first; `after` is the id of the last job of the page before.
    public func list(after: String? = nil, limit: Int = 100, by principal: Principal) async throws -> Page<JobInfo> {
        try principal.require(.developer)
        let limit = max(1, min(limit, 1000))
        let found = try await store.jobs(projectID: principal.project, after: after, limit: limit + 1)
        return Page(found.map(shown), limit: limit)
    }

    public func show(_ id: String, by principal: Principal) async throws -> JobInfo {
        shown(try await job(id, by: principal))
    }

    /// Events with a sequence above `after`, oldest first.
    public func events(
        of id: String, after: Int = 0, limit: Int = 1000, by principal: Principal
    ) async throws -> Page<JobEventInfo> {
        _ = try await job(id, by: principal)
        let limit = max(1, min(limit, 10_000))
        return Page(try await store.events(ofJob: id, after: after, limit: limit + 1), limit: limit)
    }

    /// The job's history from `after` on and then what happens, until it is done. Ends also when `serve` stops.
    public func follow(
        _ id: String, after: Int = 0, by principal: Principal
    ) async throws -> AsyncStream<JobUpdate> {
        _ = try await job(id, by: principal)
        let (follower, stream) = followers.add(job: id, after: after)
        followers.continuation(job: id, id: follower)?.onTermination = { [weak self] _ in
            Task { await self?.unfollow(id, follower) }
        }
        do {
            let history = try await store.events(ofJob: id, after: after, limit: .max)
            guard let now = try await store.job(id, projectID: principal.project) else { return stream }
            followers.replay(history, now: shown(now), job: id, id: follower)
        } catch {
            followers.remove(job: id, id: follower)
            throw error
        }
        return stream
    }

    private func unfollow(_ id: String, _ follower: UUID) { followers.remove(job: id, id: follower) }

    /// What the worker wrote to its standard output and error, from `offset` on, 1 MiB at most.
    public func log(of id: String, from offset: Int = 0, by principal: Principal) async throws -> [UInt8] {
        _ = try await job(id, by: principal)
        guard let file = FileHandle(forReadingAtPath: logPath(of: id)) else { return [] }
        defer { try? file.close() }
        do {
            try file.seek(toOffset: UInt64(max(0, offset)))
            return [UInt8](try file.read(upToCount: 1 << 20) ?? Data())
        } catch {
            throw MartletError(.internal, "the log of job \(id) cannot be read")
        }
    }

    /// The rows that the job's worker could not use, as JSON lines. Throws `notFound` where it found none.
    public func badRows(of id: String, by principal: Principal) async throws -> [UInt8] {
        _ = try await job(id, by: principal)
        guard let data = FileManager.default.contents(atPath: "\(folder(of: id))/\(JobFile.badRows)") else {
            throw MartletError(.notFound, "job \(id) has no bad rows, or its folder was removed; see its error")
        }
        return [UInt8](data)
    }

    /// How many jobs are in each state, for `/metrics`.
    public func counts() async throws -> [JobState: Int] { try await store.jobCounts() }
}
