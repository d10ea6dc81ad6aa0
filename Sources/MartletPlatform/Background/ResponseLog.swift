import Foundation
import MartletStore
import MartletWire
import Synchronization

/// The events of a streamed background response while it is under way, for all who follow it, each from where it
/// likes: JSON documents with ascending `sequence_number`s.
///
/// At most `byteLimit` bytes are held; beyond that the oldest go, and who still needs these is told so.
public final class ResponseLog: Sendable {
    /// What there is behind a number.
    public enum Portion: Sendable, Equatable {
        /// `next` is the number to ask for after these.
        case events([String], next: Int)
        /// Those that were asked for are not held any more.
        case lost
        /// All were told.
        case over
        /// All that there are for now were told, and this server tells no more.
        case stopped
    }
    private enum End { case over, stopped }
    private struct State {
        var events: [String] = []
        /// The number of the first of them.
        var first: Int
        var byteCount = 0
        var isTrimmed = false
        /// What comes while an end is being stored, and is told only where that fails.
        var held: [String]?
        var end: End?
        var followers: [UUID: AsyncStream<Void>.Continuation] = [:]
        var next: Int { first + events.count }
    }
    private let state: Mutex<State>
    /// Seconds since 1970 at which the response was accepted.
    public let createdAt: Int
    private let byteLimit: Int
    /// The number of the first event of this server's.
    public let firstEver: Int

    package static let usualByteLimit = 16 << 20
    /// Numbers of one `serve`. The next one's begin behind them, so that no number stands for two events.
    static let numbersOfOneServe = 1_000_000

    /// - Parameter first: the number of the first event.
    package init(createdAt: Int, first: Int = 0, byteLimit: Int = usualByteLimit) {
        self.createdAt = createdAt
        self.byteLimit = byteLimit
        firstEver = first
        state = Mutex(State(first: first))
    }

    /// The number of the next event.
    public var next: Int { state.withLock { $0.next + ($0.held?.count ?? 0) } }

    /// Adds events, which are numbered from `next` on.
    public func append(_ events: [String]) {
        guard !events.isEmpty else { return }
        let followers = state.withLock { state -> [AsyncStream<Void>.Continuation] in
            guard state.end == nil else { return [] }
            if state.held != nil {
                state.held?.append(contentsOf: events)
                return []
            }
            add(events, to: &state)
            return Array(state.followers.values)
        }
        for follower in followers { follower.yield() }
    }

    private func add(_ events: [String], to state: inout State) {
        state.events += events
        state.byteCount += events.reduce(0) { $0 + $1.utf8.count }
        guard state.byteCount > byteLimit else { return }
        // A good part at once, so that it seldom happens.
        var count = 0
        while state.byteCount > byteLimit / 2, count < state.events.count - 1 {
            state.byteCount -= state.events[count].utf8.count
            count += 1
        }
        state.events.removeFirst(count)
        state.first += count
        state.isTrimmed = true
    }

    /// Events with numbers from `number` on.
    public func read(from number: Int) -> Portion {
        state.withLock { state in
            guard number >= state.first else { return .lost }
            if number < state.next {
                return .events(Array(state.events[(number - state.first)...]), next: state.next)
            }
            switch state.end {
            case .over: return .over
            case .stopped: return .stopped
            case nil: return .events([], next: number)
            }
        }
    }

    /// The first number that is held.
    public var first: Int { state.withLock { $0.first } }

    /// Whether more is in it than that the response was accepted.
    public var hasBegun: Bool { state.withLock { $0.isTrimmed || $0.events.count > Self.acceptance.count } }

    /// The kinds of the first events.
    static let acceptance = ["response.created", "response.queued"]

    /// Something once at first, and whenever there is more to read; ends after the last.
    public func changes() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let id = UUID()
        let isOver = state.withLock { state in
            if state.end == nil { state.followers[id] = continuation }
            return state.end != nil
        }
        continuation.yield()
        if isOver {
            continuation.finish()
        } else {
            continuation.onTermination = { [weak self] _ in
                self?.state.withLock { _ = $0.followers.removeValue(forKey: id) }
            }
        }
        return stream
    }

    // MARK: The end

    /// Before the end is stored: what comes now waits. Gives the number of the end's event.
    func hold() -> Int {
        state.withLock { state in
            if state.held == nil, state.end == nil { state.held = [] }
            return state.next
        }
    }

    /// All events and the last, as they are stored; between `hold` and `finish`.
    func whole(endingWith last: String) -> ResponseEvents {
        state.withLock { state in
            let byteCount = state.byteCount + last.utf8.count
            return state.isTrimmed || byteCount > byteLimit ? .tooMany : .kept(state.events + [last])
        }
    }

    /// The end could not be stored: it goes on.
    func release() {
        let held = state.withLock { state in
            defer { state.held = nil }
            return state.held ?? []
        }
        append(held)
    }

    /// Tells the last event, once it is stored; nil where the response is gone, or goes on with the next `serve`.
    func finish(_ last: String?, isStopped: Bool = false) {
        let followers = state.withLock { state -> [AsyncStream<Void>.Continuation] in
            guard state.end == nil else { return [] }
            state.held = nil
            if let last { add([last], to: &state) }
            state.end = isStopped ? .stopped : .over
            defer { state.followers = [:] }
            return Array(state.followers.values)
        }
        for follower in followers {
            follower.yield()
            follower.finish()
        }
    }

    /// A failure of the stream itself, as a document.
    public static func error(_ error: MartletError, number: Int) -> String {
        JSON.object([
            "type": "error", "code": .string(error.code.rawValue), "message": .string(error.message),
            "param": error.param.map { .string($0) } ?? .null, "sequence_number": JSON(number),
        ]).serialized()
    }

    /// An event as a document.
    public static func event(_ type: String, number: Int, response: JSON) -> String {
        JSON.object([
            "type": .string(type), "response": response, "sequence_number": JSON(number),
        ]).serialized()
    }
}
