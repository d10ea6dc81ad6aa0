import Foundation
import Synchronization

/// Threads that ask the same thing again and again, and keep what became of each request.
public final class Load: Sendable {
    /// One request: when it was sent and answered, and how.
    public struct Outcome: Sendable {
        public var sent: Date
        public var answered: Date
        /// Nil where there was no answer.
        public var status: Int?
        /// The answer's body, or why there was none.
        public var text: String
    }
    private struct State {
        var outcomes: [Outcome] = []
        var isStopping = false
        var running: Int
    }
    private let state: Mutex<State>

    /// Starts `threads` threads, each with one request after the other, `pause` seconds between them.
    public init(threads: Int, pause: Double = 0, _ request: @escaping @Sendable () throws -> HTTPAnswer) {
        state = Mutex(State(running: threads))
        for _ in 0..<threads {
            Thread.detachNewThread { [self] in
                while !state.withLock({ $0.isStopping }) {
                    let sent = Date()
                    var outcome = Outcome(sent: sent, answered: sent, status: nil, text: "")
                    do {
                        let answer = try request()
                        (outcome.status, outcome.text) = (answer.status, answer.text)
                    } catch {
                        outcome.text = "\(error)"
                    }
                    outcome.answered = Date()
                    let made = outcome
                    state.withLock { $0.outcomes.append(made) }
                    if pause > 0 { Thread.sleep(forTimeInterval: pause) }
                }
                state.withLock { $0.running -= 1 }
            }
        }
    }

    public var outcomes: [Outcome] { state.withLock { $0.outcomes } }

    /// Ends after the requests that are under way.
    public func stop() throws -> [Outcome] {
        state.withLock { $0.isStopping = true }
        try waitUntil("the load's last answers", seconds: 90) { state.withLock { $0.running == 0 } }
        return outcomes
    }
}
