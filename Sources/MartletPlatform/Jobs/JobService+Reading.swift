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
    public func follow(_ id: String, after: Int = 0, by principal: Principal) async throws -> JobUpdates {
        _ = try await job(id, by: principal)
        let follower = UUID()
        let (bell, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let unfollow: @Sendable () -> Void = { [weak self] in Task { await self?.unfollow(id, follower) } }
        continuation.onTermination = { how in
            if case .cancelled = how { unfollow() }
        }
        followers.add(follower, job: id, after: after, bell: continuation)
        do {
            let now = shown(try await job(id, by: principal))
            followers.begin(follower, now: now, job: id)
        } catch {
            followers.remove(follower, job: id)
            throw error
        }
        return JobUpdates(
            bell: bell, continuation: continuation,
            read: { [weak self] in
                guard let self else { return ([], false, true) }
                return try await news(of: id, for: follower)
            },
            ended: unfollow)
    }

    private func unfollow(_ id: String, _ follower: UUID) { followers.remove(follower, job: id) }

    private static let followedPage = 200

    private func news(
        of id: String, for follower: UUID
    ) async throws -> (updates: [JobUpdate], hasMore: Bool, isOver: Bool) {
        guard let news = followers.take(follower, job: id) else { return ([], false, true) }
        var updates: [JobUpdate] = []
        if news.hasEvents {
            let page: [JobEventInfo]
            do {
                page = try await store.events(ofJob: id, after: news.sequence, limit: Self.followedPage)
            } catch  where isStopping {
                return ([], false, true)
            }
            updates = page.map { .event($0) }
            let hasMore = page.count == Self.followedPage
            followers.read(
                upTo: page.last?.sequence ?? news.sequence, rest: hasMore ? news : nil, follower, job: id)
            // A state comes after all events that were there before it.
            if hasMore { return (updates, true, false) }
        }
        if let progress = news.progress { updates.append(.progress(progress)) }
        if let state = news.state { updates.append(.state(state)) }
        return (updates, false, news.state?.state.isFinal == true)
    }

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
