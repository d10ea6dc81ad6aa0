import MartletWire

/// One piece of background work that is done once: a batch's line, an eval's item.
package protocol WorkUnit: Sendable, Equatable {
    /// Its place in the whole; pieces are taken in this order.
    var number: Int { get }
}

/// Decides what a batch or an eval's run does next: which pieces are loaded and run, when it holds back, when it ends.
///
/// A value without time or tasks: events go in, actions come out.
package struct WorkMachine<Unit: WorkUnit>: Sendable {
    package enum Ending: Sendable, Equatable { case completed, expired, cancelled }

    package enum Event: Sendable {
        case started
        /// Pieces without a result behind those that were loaded before; fewer than asked for means the last.
        case loaded([Unit])
        /// Its result is stored.
        case finished(Int)
        /// There was no place for it; nothing was done.
        case busy(Int)
        /// Its project may not ask now, however often it tries; nothing was done, and it is not counted as a try.
        case held(Int)
        /// It was given up because the whole ends.
        case dropped(Int)
        case pauseOver
        case cancelRequested
        case timeOver
        /// Pieces that were told to end have had their time.
        case drainOver
    }

    package enum Action: Sendable, Equatable {
        case load(after: Int, count: Int)
        /// `tries`: how often there was no place for it.
        case run(Unit, tries: Int)
        /// `pauseOver` after this long.
        case pause(milliseconds: Int)
        /// Ends what runs; `drainOver` a while later.
        case drain
        /// Writes what is there and ends.
        case end(Ending)
    }

    private enum Phase: Equatable {
        case new, running
        case draining(Ending)
        case over
    }
    private var phase = Phase.new
    private var ready: [Unit] = []
    private var running: [Int: Unit] = [:]
    private var tries: [Int: Int] = [:]
    private var lastLoaded: Int
    private var isLoading = false
    private var isEverythingLoaded = false
    private var isPausing = false
    private var pauseMilliseconds = WorkPace.shortestPause
    /// Pieces at a time: halved where there is no place, one more after each that was done.
    package private(set) var width: Int
    private let widest: Int
    private let pageCount: Int

    /// `widest` pieces at a time at most; pieces are loaded `pageCount` at a time.
    package init(widest: Int, pageCount: Int = 256, firstNumber: Int = 0) {
        self.widest = max(1, widest)
        width = self.widest
        self.pageCount = pageCount
        lastLoaded = firstNumber - 1
    }

    package var runningCount: Int { running.count }

    package mutating func handle(_ event: Event) -> [Action] {
        switch event {
        case .started: if phase == .new { phase = .running }
        case .loaded(let units):
            isLoading = false
            ready += units
            if let last = units.last { lastLoaded = last.number }
            if units.count < pageCount { isEverythingLoaded = true }
        case .finished(let number):
            guard running.removeValue(forKey: number) != nil else { return [] }
            tries[number] = nil
            width = min(widest, width + 1)
            pauseMilliseconds = WorkPace.shortestPause
        case .busy(let number), .held(let number):
            guard let unit = running.removeValue(forKey: number) else { return [] }
            if case .busy = event { tries[number, default: 0] += 1 }
            ready.insert(unit, at: 0)
            width = max(1, width / 2)
            guard phase == .running, !isPausing else { break }
            isPausing = true
            defer { pauseMilliseconds = min(WorkPace.longestPause, pauseMilliseconds * 2) }
            return [.pause(milliseconds: pauseMilliseconds)]
        case .dropped(let number): running[number] = nil
        case .pauseOver: isPausing = false
        case .cancelRequested: return drain(.cancelled)
        case .timeOver: return drain(.expired)
        case .drainOver:
            guard case .draining(let ending) = phase else { return [] }
            phase = .over
            return [.end(ending)]
        }
        return next()
    }

    private mutating func drain(_ ending: Ending) -> [Action] {
        guard phase == .running || phase == .new else { return [] }
        ready = []
        guard !running.isEmpty else {
            phase = .over
            return [.end(ending)]
        }
        phase = .draining(ending)
        return [.drain]
    }

    private mutating func next() -> [Action] {
        switch phase {
        case .new, .over: return []
        case .draining(let ending):
            guard running.isEmpty else { return [] }
            phase = .over
            return [.end(ending)]
        case .running: break
        }
        var actions: [Action] = []
        while !isPausing, running.count < width, !ready.isEmpty {
            let unit = ready.removeFirst()
            running[unit.number] = unit
            actions.append(.run(unit, tries: tries[unit.number, default: 0]))
        }
        if !isEverythingLoaded, !isLoading, ready.count < pageCount / 2 {
            isLoading = true
            actions.append(.load(after: lastLoaded, count: pageCount))
        }
        if isEverythingLoaded, ready.isEmpty, running.isEmpty {
            phase = .over
            actions.append(.end(.completed))
        }
        return actions
    }
}

/// How background work holds back where there is no place for it.
package enum WorkPace {
    package static let shortestPause = 100
    package static let longestPause = 10_000
    /// About a quarter of an hour without a place.
    package static let tryLimit = 100
    /// Requests whose time ran out, most of it behind those that someone waits for.
    private static let lateLimit = 3

    /// Whether the project's budget is spent. It may be raised, and the month ends: until then it waits, however often
    /// it asks.
    static func isHeld(_ reply: InnerReply) -> Bool {
        reply.body["error"]?["code"] == .string(MartletError.Code.insufficientQuota.rawValue)
    }

    /// Whether what came is worth another try after `tries`, in which those where it was held do not count.
    static func isWorthAnother(_ reply: InnerReply, tries: Int) -> Bool {
        if isHeld(reply) { return true }
        return switch reply.status {
        case 429, 503: tries < tryLimit
        case 504: tries < lateLimit
        default: false
        }
    }

    /// Tries to keep what was worked for until it is kept: it must not be asked again because the disk was full.
    static func insist(_ clock: PlatformClock, _ body: () async throws -> Void) async throws {
        while true {
            do {
                return try await body()
            } catch {
                try Task.checkCancellation()
                try await clock.sleep(.milliseconds(500))
            }
        }
    }
}
