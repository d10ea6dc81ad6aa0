import Foundation
import Synchronization

/// One thread of its own on which tensors live.
///
/// An actor that owns tensors returns it from `unownedExecutor`, so that all its work runs here; a program without
/// actors calls `run`. libtorch keeps gradient mode and its team of worker threads per calling thread, so work from
/// many threads would start many teams.
public final class ComputeThread: SerialExecutor, Sendable {
    private let queue: WorkQueue

    /// Starts the thread. It ends when nothing refers to this object any more and its work is done.
    public init(name: String = "compute") {
        let queue = WorkQueue()
        self.queue = queue
        let thread = Thread { queue.loop() }
        thread.name = name
        // A backward pass recurses over the graph; the 512 KiB of a secondary thread are little for that.
        thread.stackSize = 64 << 20
        thread.start()
    }

    deinit { queue.stop() }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedSerialExecutor()
        // The thread holds the executor while it has work, so that it outlives the jobs that were handed to it.
        queue.add { [self] in
            withExtendedLifetime(self) { job.runSynchronously(on: executor) }
        }
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    /// Whether the caller is on this thread.
    public var isCurrent: Bool { queue.isCurrent }

    public func checkIsolated() {
        precondition(isCurrent, "not on the compute thread")
    }

    /// Runs `body` here and waits for it; at once where the caller is on this thread already.
    public func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
        if isCurrent { return try body() }
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
        queue.add {
            let result = Swift.Result(catching: body)
            outcome.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = outcome.withLock({ $0 }) else { preconditionFailure("the compute thread lost its work") }
        return try result.get()
    }
}

/// Closures that one thread runs in order.
private final class WorkQueue: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var isStopped = false
        var thread: ObjectIdentifier?
    }

    private let state = Mutex(State())
    private let wake = DispatchSemaphore(value: 0)

    var isCurrent: Bool {
        let current = ObjectIdentifier(Thread.current)
        return state.withLock { $0.thread == current }
    }

    func add(_ work: @escaping @Sendable () -> Void) {
        state.withLock { $0.waiting.append(work) }
        wake.signal()
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        wake.signal()
    }

    func loop() {
        // The thread object lives as long as this call, so its identity cannot be given to another.
        let thread = Thread.current
        state.withLock { $0.thread = ObjectIdentifier(thread) }
        while true {
            wake.wait()
            let (work, isStopped) = state.withLock { state in
                let work = state.waiting
                state.waiting = []
                return (work, state.isStopped)
            }
            for item in work { item() }
            if isStopped, state.withLock({ $0.waiting.isEmpty }) { break }
        }
    }
}
