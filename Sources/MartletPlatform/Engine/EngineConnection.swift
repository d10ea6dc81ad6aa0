import Foundation
import MartletWire
import NIOCore
import Synchronization

/// One engine process on the control socket: requests go both ways.
final class EngineConnection: Sendable {
    typealias Answer = (head: [UInt8], body: [UInt8])

    private struct State {
        var nextID: UInt64 = 1
        var pending: [UInt64: CheckedContinuation<Answer, any Error>] = [:]
        var streams: [UInt64: PartSink] = [:]
        /// What is being worked out for the process, by its requests' ids.
        var answers: [UInt64: Task<Void, Never>] = [:]
        var isClosed = false
    }
    private let channel: any Channel
    private let state = Mutex(State())
    /// Requests of the process, in the order in which they came.
    let inbox: AsyncStream<Frame>
    private let inboxEnd: AsyncStream<Frame>.Continuation

    init(channel: any Channel) {
        self.channel = channel
        (inbox, inboxEnd) = AsyncStream.makeStream()
    }

    private static var gone: MartletError {
        MartletError(.unavailable, "the model's process ended while it answered; try again in a few seconds")
    }

    /// Sends a request and waits for its answer.
    ///
    /// Throws what the process answered, `unavailable` where the connection drops, and `CancellationError` where the
    /// caller is cancelled, which tells the process too.
    func request(_ request: PlatformRequest, body: [UInt8] = []) async throws -> Answer {
        try await self.request(head: [UInt8](JSONEncoder.wire.encode(request)), body: body)
    }

    func request(head: [UInt8], body: [UInt8]) async throws -> Answer {
        let id = state.withLock { state in
            defer { state.nextID += 1 }
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isClosed = state.withLock { state in
                    if !state.isClosed { state.pending[id] = continuation }
                    return state.isClosed
                }
                guard !isClosed else {
                    continuation.resume(throwing: Self.gone)
                    return
                }
                send(Frame(kind: .request, id: id, head: head, body: body))
                // The handler below may have run before the continuation was there.
                if Task.isCancelled { cancel(id) }
            }
        } onCancel: {
            cancel(id)
        }
    }

    private func cancel(_ id: UInt64) {
        guard let continuation = state.withLock({ $0.pending.removeValue(forKey: id) }) else { return }
        send(Frame(kind: .cancel, id: id, head: []))
        continuation.resume(throwing: CancellationError())
    }

    /// Sends a request whose answer comes in parts; `sink` hears them, in order. The answer's end comes once, also
    /// after `cancel(stream:)` with the id that this returns.
    func stream(head: [UInt8], _ sink: PartSink) -> UInt64 {
        let id: UInt64? = state.withLock { state in
            guard !state.isClosed else { return nil }
            defer { state.nextID += 1 }
            state.streams[state.nextID] = sink
            return state.nextID
        }
        guard let id else {
            sink.end(.failure(Self.gone))
            return 0
        }
        send(Frame(kind: .request, id: id, head: head))
        return id
    }

    /// Nobody listens to this answer any more.
    func cancel(stream id: UInt64) {
        guard state.withLock({ $0.streams[id] != nil }) else { return }
        send(Frame(kind: .cancel, id: id, head: []))
    }

    func reply(to id: UInt64, _ head: some Encodable) throws {
        send(Frame(kind: .reply, id: id, head: [UInt8](try JSONEncoder.wire.encode(head))))
    }

    func fail(_ id: UInt64, _ error: MartletError) {
        let head = (try? JSONEncoder.wire.encode(error)).map { [UInt8]($0) } ?? []
        send(Frame(kind: .failure, id: id, head: head))
    }

    /// Works out an answer beside what else the process says; ended where the process cancels it or is gone.
    func answer<Answer: Encodable & Sendable>(_ id: UInt64, _ work: @escaping @Sendable () async throws -> Answer) {
        state.withLock { state in
            guard !state.isClosed else { return }
            state.answers[id] = Task {
                do {
                    try reply(to: id, try await work())
                } catch let error as MartletError {
                    fail(id, error)
                } catch is CancellationError {
                    fail(id, MartletError(.cancelled, "nobody waits for this answer any more"))
                } catch {
                    fail(id, MartletError(.internal, "the platform failed: \(error)"))
                }
                _ = self.state.withLock { $0.answers.removeValue(forKey: id) }
            }
        }
    }

    private func send(_ frame: Frame) {
        channel.writeAndFlush(frame.buffer(channel.allocator), promise: nil)
    }

    /// Drops the connection once what was written has left.
    func close() {
        channel.flush()
        channel.close(promise: nil)
    }

    // MARK: From the channel

    func received(_ frame: Frame) {
        switch frame.kind {
        case .request: inboxEnd.yield(frame)
        case .cancel: state.withLock { $0.answers[frame.id] }?.cancel()
        case .part: state.withLock { $0.streams[frame.id] }?.part(frame.head)
        case .reply:
            let (pending, stream) = take(frame.id)
            pending?.resume(returning: (frame.head, frame.body))
            stream?.end(.success(frame.head))
        case .failure:
            let error =
                (try? JSONDecoder.wire.decode(MartletError.self, from: Data(frame.head)))
                ?? MartletError(.internal, "the engine's error could not be read")
            let (pending, stream) = take(frame.id)
            pending?.resume(throwing: error)
            stream?.end(.failure(error))
        }
    }

    private func take(_ id: UInt64) -> (CheckedContinuation<Answer, any Error>?, PartSink?) {
        state.withLock { ($0.pending.removeValue(forKey: id), $0.streams.removeValue(forKey: id)) }
    }

    func closed() {
        inboxEnd.finish()
        let (pending, streams, answers) = state.withLock { state in
            state.isClosed = true
            defer { (state.pending, state.streams, state.answers) = ([:], [:], [:]) }
            return (state.pending, state.streams, state.answers)
        }
        for task in answers.values { task.cancel() }
        for continuation in pending.values { continuation.resume(throwing: Self.gone) }
        for stream in streams.values { stream.end(.failure(Self.gone)) }
    }
}

/// Who hears an answer that comes in parts. Both are called on the connection's thread and must be quick.
struct PartSink: Sendable {
    let part: @Sendable (_ head: [UInt8]) -> Void
    /// The reply's head, what the process answered instead, or that it is gone.
    let end: @Sendable (Result<[UInt8], MartletError>) -> Void
}
