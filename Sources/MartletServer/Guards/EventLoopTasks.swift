import NIOCore

/// Runs a connection's tasks on the event loop that reads and writes it.
///
/// A request that goes from the loop to Swift's pool and back wakes two threads before it is refused; here it wakes
/// none. What computes or waits for a disk belongs elsewhere (see `Gateway`): it would hold up the loop's other connections.
final class EventLoopTasks: TaskExecutor {
    private let eventLoop: any EventLoop

    init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        eventLoop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
