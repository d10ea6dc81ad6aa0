import Foundation
import MartletWire

/// The frame of a server of rows, between the threads that read requests and the compute thread that answers them.
///
/// A server reads bodies, computes passes and writes answers. Whether a request is taken, with whom it goes through the
/// model, when it is too late, and that a bad one fails alone, is decided here.
final class InferenceQueue<Content: Sendable>: @unchecked Sendable {
    // Unchecked: what changes is used under `condition` only.
    typealias Done = @Sendable (Result<InferenceAnswer, MartletError>) -> Void

    private struct Asked: Sendable {
        var request: PreparedRequest<Content>
        /// By which it can be cancelled.
        var id: UInt64?
        var done: Done
    }
    private enum Item: Sendable {
        case request(Asked)
        /// Answered by the compute thread, so that a stuck one shows.
        case ping(@Sendable () -> Void)
    }
    private typealias Entry = Batcher<Item>.Entry
    private typealias Waiting = (entry: Entry, asked: Asked)

    private let condition = NSCondition()
    private var batcher: Batcher<Item>
    private var isDraining = false
    /// Requests of the pass that is computed, and those of them that nobody waits for any more.
    private var underway: Set<UInt64> = []
    private var gone: Set<UInt64> = []
    /// When the next look at the deadlines is due.
    private var wakes: UInt64?
    /// How many are telling late ones at this moment.
    private var tellers = 0
    private let task: ServeTask

    init(_ task: ServeTask) {
        self.task = task
        batcher = Batcher(maxRows: task.maxBatch, queueLimit: task.queueLimit)
    }

    /// Reads a request and queues it. Called from any thread; `done` is called once: at once where the request is
    /// refused, at its deadline where it still waits then, else from the compute thread. `id` is for `cancel`.
    func handle(
        _ request: InferenceRequest, id: UInt64?, done: @escaping Done, read: () throws -> PreparedRequest<Content>
    ) {
        let arrived = MonotonicTime.now
        do {
            // What there is no room for is not read first.
            try condition.withLock { try check(hasRoom: batcher.count < task.queueLimit) }
            let prepared = try read()
            let entry = Entry(
                item: .request(Asked(request: prepared, id: id, done: done)), rows: prepared.rows,
                deadline: MonotonicTime.deadline(request.deadlineMicroseconds, from: arrived), arrived: arrived)
            try condition.withLock {
                try check(hasRoom: !isDraining && batcher.accept(entry))
                watch(entry.deadline)
                condition.signal()
            }
        } catch {
            done(.failure(ServingFailure.wire(error)))
        }
    }

    private func check(hasRoom: Bool) throws {
        guard !isDraining else {
            throw MartletError(.unavailable, "\(task.model) is being taken out of service; try again in a moment")
        }
        guard hasRoom else {
            throw MartletError(
                .unavailable, "\(task.model) has \(task.queueLimit) requests waiting; try again in a moment")
        }
    }

    /// Nobody waits for the answer any more: the request leaves the queue, or the model at the next pause of its pass
    /// where it is the last one that anybody waits for.
    func cancel(_ id: UInt64) {
        let waiting = condition.withLock {
            if underway.contains(id) { gone.insert(id) }
            return batcher.take { if case .request(let asked) = $0.item { asked.id == id } else { false } }
        }
        for case .request(let asked) in waiting.map(\.item) { asked.done(.failure(Self.cancelled)) }
    }

    private static var cancelled: MartletError {
        MartletError(.cancelled, "the client left before the answer was there")
    }

    func ping(_ done: @escaping @Sendable () -> Void) {
        let isTaken = condition.withLock {
            let entry = Entry(item: .ping(done), rows: 0, deadline: nil, arrived: MonotonicTime.now)
            let isTaken = !isDraining && batcher.accept(entry)
            condition.signal()
            return isTaken
        }
        // Refused only while the queue is drained, and then the process is about to end.
        if !isTaken { done() }
    }

    /// Accepts nothing more; `run` returns once what waits is answered.
    func drain() {
        condition.withLock {
            isDraining = true
            condition.broadcast()
        }
    }

    // MARK: Deadlines

    /// Sees to it that whoever waits past a deadline is told then, also while a pass runs. Under `condition`.
    private func watch(_ deadline: UInt64?) {
        guard let deadline, deadline < wakes ?? .max else { return }
        wakes = deadline
        DispatchQueue.global().asyncAfter(deadline: DispatchTime(uptimeNanoseconds: deadline)) { [weak self] in
            self?.expire()
        }
    }

    private func expire() {
        let late = condition.withLock {
            let now = MonotonicTime.now
            if let due = wakes, due <= now { wakes = nil }
            let late = batcher.expire(now: now)
            watch(batcher.nextDeadline)
            tellers += 1
            return late
        }
        tell(late: late)
        condition.withLock {
            tellers -= 1
            condition.broadcast()
        }
    }

    private func tell(late entries: [Entry]) {
        for case .request(let asked) in entries.map(\.item) {
            asked.done(
                .failure(MartletError(.deadlineExceeded, "the request waited past its deadline and was not started")))
        }
    }

    // MARK: Passes

    /// Waits for the next pass; nil where the queue is drained.
    private func take() -> (batch: [Entry], expired: [Entry])? {
        condition.withLock {
            while batcher.count == 0 {
                // The process ends after the last answer, and not before one that is being given.
                if isDraining, tellers == 0 { return nil }
                condition.wait()
            }
            let next = batcher.next(now: MonotonicTime.now)
            gone = []
            underway = Set(
                next.batch.compactMap { entry -> UInt64? in
                    if case .request(let asked) = entry.item { asked.id } else { nil }
                })
            return next
        }
    }

    /// Answers until the queue is drained. Runs on the compute thread.
    /// - Parameters:
    ///   - compute: what the model makes of each of a pass's requests; long work calls `pause` between its parts.
    ///   - write: a request's answer.
    func run<Made>(
        compute: ([PreparedRequest<Content>], _ pause: () throws -> Void) throws -> [Made],
        write: (PreparedRequest<Content>, Made, InferenceReply) throws -> InferenceAnswer
    ) {
        while let (batch, expired) = take() {
            tell(late: expired)
            var requests: [Waiting] = []
            for entry in batch {
                switch entry.item {
                case .ping(let done): done()
                case .request(let asked): requests.append((entry, asked))
                }
            }
            if !requests.isEmpty { answer(requests, compute, write) }
        }
    }

    /// Between the parts of long work: who asks for a sign of life gets it, and what nobody waits for any more ends.
    private func pause(_ requests: [Waiting]) throws {
        let (pings, awaited) = condition.withLock { (batcher.takeRowless(), requests.filter { !isGone($0.asked) }) }
        for case .ping(let done) in pings.map(\.item) { done() }
        guard !awaited.isEmpty else { throw Self.cancelled }
        let now = MonotonicTime.now
        guard awaited.contains(where: { $0.entry.deadline ?? .max > now }) else {
            throw MartletError(
                .deadlineExceeded,
                "the answer was not whole by the request's deadline; send fewer rows or allow more time")
        }
    }

    /// Under `condition`.
    private func isGone(_ asked: Asked) -> Bool { asked.id.map { gone.contains($0) } ?? false }

    private func answer<Made>(
        _ requests: [Waiting], _ compute: ([PreparedRequest<Content>], () throws -> Void) throws -> [Made],
        _ write: (PreparedRequest<Content>, Made, InferenceReply) throws -> InferenceAnswer
    ) {
        let started = MonotonicTime.now
        let made: [Made]
        do {
            made = try compute(requests.map(\.asked.request)) { try pause(requests) }
            guard made.count == requests.count else {
                throw MartletError(.internal, "the model answered \(made.count) of \(requests.count) requests")
            }
        } catch {
            guard requests.count > 1 else { return requests[0].asked.done(.failure(ServingFailure.wire(error))) }
            // One bad request must not fail its neighbours: alone, each gets its own result.
            for request in requests {
                if condition.withLock({ isGone(request.asked) }) {
                    request.asked.done(.failure(Self.cancelled))
                } else {
                    answer([request], compute, write)
                }
            }
            return
        }
        let computed = MonotonicTime.now
        for ((entry, asked), made) in zip(requests, made) {
            let reply = InferenceReply(
                rows: asked.request.rows, queueMicroseconds: Int((started &- entry.arrived) / 1_000),
                computeMicroseconds: Int((computed &- started) / 1_000))
            asked.done(Result { try write(asked.request, made, reply) }.mapError(ServingFailure.wire))
        }
    }
}
