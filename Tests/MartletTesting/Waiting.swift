import Foundation
import Glibc
import Synchronization

/// Looks again and again until `body` gives something; throws with `what` after `seconds`.
public func waitUntil<Value>(
    _ what: String, seconds: Double, every interval: Double = 0.02, _ body: () throws -> Value?
) throws -> Value {
    let deadline = Date().addingTimeInterval(seconds)
    while true {
        if let value = try body() { return value }
        guard Date() < deadline else { throw HarnessError("\(what): not after \(seconds) s") }
        usleep(useconds_t(interval * 1e6))
    }
}

/// The same for a condition.
public func waitUntil(
    _ what: String, seconds: Double, every interval: Double = 0.02, _ body: () throws -> Bool
) throws {
    let _: Void = try waitUntil(what, seconds: seconds, every: interval) { try body() ? () : nil }
}

/// How many seconds it was until `body` held, counted in looks that are `interval` seconds apart: a busy machine holds
/// the looks up as it holds up what is looked at, so that a bound on them holds there too.
public func countedUntil(
    _ what: String, every interval: Double = 0.02, _ body: () throws -> Bool
) throws -> Double {
    var looks = 0
    try waitUntil(what, seconds: 120, every: interval) {
        looks += 1
        return try body()
    }
    return Double(looks) * interval
}

/// Looks again and again until `condition` holds, without holding a thread. Generous: tests that compute may keep a test
/// that waits from its turn for a minute.
public func eventually(
    within seconds: Double = 120, file: StaticString = #fileID, line: UInt = #line,
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw HarnessError("\(file):\(line): the condition did not hold within \(seconds) s")
}

/// What `body` gives, and how long it took in turns of ten milliseconds that a task beside it had meanwhile.
///
/// A machine that is busy, and a pool of threads that other tests fill, hold these turns up as they hold up `body`. So a
/// bound on them means what a bound on the time means where nothing else runs, and it holds where much does.
public func counted<Result>(_ body: () async throws -> Result) async throws -> (result: Result, time: Duration) {
    let turns = Atomic<Int>(0)
    let ticker = Task {
        while (try? await Task.sleep(for: .milliseconds(10))) != nil { turns.add(1, ordering: .relaxed) }
    }
    defer { ticker.cancel() }
    let result = try await body()
    return (result, .milliseconds(10 * turns.load(ordering: .relaxed)))
}

/// Sleeps in twenty turns, each of which other tests may hold up: for a server in a test's own process, whose patience
/// should not end because the test has not had its turn to answer.
public func sleepByTurns(_ duration: Duration) async throws {
    let turn = max(.milliseconds(10), duration / 20)
    var left = duration
    repeat {
        try await Task.sleep(for: min(turn, left))
        left -= turn
    } while left > .zero
}

/// Runs blocking work of a test on a thread of its own, so that it holds no thread of Swift's pool.
public final class BlockingExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "martlet.testing.blocking")
    public init() {}

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
