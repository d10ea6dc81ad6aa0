import Foundation
import MartletWire

/// Those who follow jobs: each hears the history first, then what happens, each event once and in order.
struct JobFollowers {
    private struct Follower {
        var continuation: AsyncStream<JobUpdate>.Continuation
        /// The last event that it was given.
        var sequence: Int
        /// What happened while the history was being read; nil once that is done.
        var backlog: [JobUpdate]? = []
    }
    private var followers: [String: [UUID: Follower]] = [:]
    private static let bufferLimit = 100_000

    mutating func add(job: String, after: Int) -> (id: UUID, stream: AsyncStream<JobUpdate>) {
        let id = UUID()
        let (stream, continuation) = AsyncStream.makeStream(
            of: JobUpdate.self, bufferingPolicy: .bufferingOldest(Self.bufferLimit))
        followers[job, default: [:]][id] = Follower(continuation: continuation, sequence: after)
        return (id, stream)
    }

    mutating func remove(job: String, id: UUID) {
        followers[job]?[id] = nil
        if followers[job]?.isEmpty == true { followers[job] = nil }
    }

    func continuation(job: String, id: UUID) -> AsyncStream<JobUpdate>.Continuation? {
        followers[job]?[id]?.continuation
    }

    /// The history as stored, and then what happened since it was asked for.
    mutating func replay(_ history: [JobEventInfo], now: JobInfo, job: String, id: UUID) {
        guard var follower = followers[job]?[id] else { return }
        let backlog = follower.backlog ?? []
        follower.backlog = nil
        followers[job]?[id] = follower
        for event in history { give(.event(event), job: job, id: id) }
        give(.state(now), job: job, id: id)
        for update in backlog { give(update, job: job, id: id) }
    }

    mutating func publish(_ update: JobUpdate, job: String) {
        for id in followers[job, default: [:]].keys { give(update, job: job, id: id) }
    }

    mutating func endAll() {
        for (_, each) in followers { for (_, follower) in each { follower.continuation.finish() } }
        followers = [:]
    }

    private mutating func give(_ update: JobUpdate, job: String, id: UUID) {
        guard var follower = followers[job]?[id] else { return }
        if follower.backlog != nil {
            follower.backlog?.append(update)
            followers[job]?[id] = follower
            return
        }
        if case .event(let event) = update {
            guard event.sequence > follower.sequence else { return }
            follower.sequence = event.sequence
            followers[job]?[id] = follower
        }
        if case .dropped = follower.continuation.yield(update) {
            // It does not keep up: better an end, after which it can ask again from its last event, than a gap.
            follower.continuation.finish()
            remove(job: job, id: id)
            return
        }
        if case .state(let info) = update, info.state.isFinal {
            follower.continuation.finish()
            remove(job: job, id: id)
        }
    }
}
