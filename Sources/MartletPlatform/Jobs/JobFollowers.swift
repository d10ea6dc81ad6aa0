import Foundation
import MartletWire

/// Those who follow jobs. Of what happens nothing is kept for a reader, however slow it is, but the newest progress and
/// the newest state: events it reads as they are stored, and a bell tells it that there is something to read.
struct JobFollowers {
    /// What a reader has not been given yet.
    struct News {
        /// The last event that it was given.
        var sequence: Int
        var hasEvents = true
        var progress: JobProgress?
        var state: JobInfo?
    }
    private struct Follower {
        let bell: AsyncStream<Void>.Continuation
        var news: News
    }
    private var followers: [String: [UUID: Follower]] = [:]

    mutating func add(_ id: UUID, job: String, after: Int, bell: AsyncStream<Void>.Continuation) {
        followers[job, default: [:]][id] = Follower(bell: bell, news: News(sequence: after))
    }

    mutating func remove(_ id: UUID, job: String) {
        followers[job]?.removeValue(forKey: id)?.bell.finish()
        if followers[job]?.isEmpty == true { followers[job] = nil }
    }

    /// What is new for a reader, which counts as given; nil where it follows no more.
    mutating func take(_ id: UUID, job: String) -> News? {
        guard let news = followers[job]?[id]?.news else { return nil }
        followers[job]?[id]?.news = News(sequence: news.sequence, hasEvents: false)
        return news
    }

    /// Takes note of how far a reader is. With `rest` there are more events, and that is for after them.
    mutating func read(upTo sequence: Int, rest: News?, _ id: UUID, job: String) {
        followers[job]?[id]?.news.sequence = sequence
        guard let rest, var news = followers[job]?[id]?.news else { return }
        news.hasEvents = true
        news.progress = news.progress ?? rest.progress
        news.state = news.state ?? rest.state
        followers[job]?[id]?.news = news
    }

    mutating func publish(_ update: JobUpdate, job: String) {
        for id in followers[job, default: [:]].keys { publish(update, to: id, job: job) }
    }

    /// The job as it is for a new reader, unless that has heard of a newer state.
    mutating func begin(_ id: UUID, now: JobInfo, job: String) {
        guard followers[job]?[id]?.news.state == nil else { return }
        publish(.state(now), to: id, job: job)
    }

    private mutating func publish(_ update: JobUpdate, to id: UUID, job: String) {
        switch update {
        case .event: followers[job]?[id]?.news.hasEvents = true
        case .progress(let progress): followers[job]?[id]?.news.progress = progress
        case .state(let info): followers[job]?[id]?.news.state = info
        }
        followers[job]?[id]?.bell.yield()
    }

    /// Each reader reads what there is once more.
    mutating func endAll() {
        for (_, each) in followers {
            for (_, follower) in each {
                follower.bell.yield()
                follower.bell.finish()
            }
        }
    }
}

/// A job's history and then what happens, each event once and in order, read as the reader takes it.
///
/// An element is what came since the one before, and empty where only the bell rang. It ends after a final state, and
/// where `serve` stops.
public struct JobUpdates: AsyncSequence, Sendable {
    public typealias Element = [JobUpdate]

    let bell: AsyncStream<Void>
    let continuation: AsyncStream<Void>.Continuation
    /// What is new, whether there is more of it at once, and whether that was all.
    let read: @Sendable () async throws -> (updates: [JobUpdate], hasMore: Bool, isOver: Bool)
    /// Called where its reader ends it.
    let ended: @Sendable () -> Void

    /// Gives an element soon, though nothing has happened.
    public func ring() { continuation.yield() }

    /// Ends the sequence, after what its reader holds.
    public func end() {
        ended()
        continuation.finish()
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let updates: JobUpdates
        fileprivate var bell: AsyncStream<Void>.AsyncIterator
        fileprivate var hasMore = false
        fileprivate var isOver = false

        public mutating func next() async throws -> [JobUpdate]? {
            guard !isOver else { return nil }
            if !hasMore {
                guard await bell.next() != nil else { return nil }
            }
            let news = try await updates.read()
            (hasMore, isOver) = (news.hasMore, news.isOver)
            return news.updates
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(updates: self, bell: bell.makeAsyncIterator())
    }
}
