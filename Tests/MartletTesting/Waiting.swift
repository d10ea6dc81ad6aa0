import Foundation
import Glibc

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

/// Runs blocking work of a test on a thread of its own, so that it holds no thread of Swift's pool.
public final class BlockingExecutor: TaskExecutor {
    private let queue = DispatchQueue(label: "martlet.testing.blocking")
    public init() {}

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
