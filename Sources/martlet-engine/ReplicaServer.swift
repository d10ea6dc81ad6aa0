import MartletServing
import MartletWire
import Synchronization

/// Answers the platform's requests with whatever model this replica holds.
struct ReplicaServer: Sendable {
    enum Model: Sendable {
        case features(ModelServer)
        case language(LanguageServer)
        case texts(TextModelServer)
    }
    let model: Model
    /// What a language model is working on: the frame that asked → how it is cancelled. nil until that is known.
    private let running = Running()

    private final class Running: Sendable {
        let ids = Mutex<[UInt64: LanguageServer.RequestID?]>([:])
    }

    init(_ model: Model) { self.model = model }

    /// From the connection's reading thread.
    func handle(_ request: PlatformRequest, body: [UInt8], _ reply: ControlClient.Reply) {
        switch (request, model) {
        case (.infer(let request), .features(let server)):
            server.handle(request, id: reply.id, body: body) { Self.answer(reply, $0) }
        case (.infer(let request), .texts(let server)):
            server.handle(request, id: reply.id, body: body) { Self.answer(reply, $0) }
        case (.generate(let request), .language(let server)):
            start(reply) { ended in
                server.generate(request) { result in
                    switch result {
                    case .success(let event):
                        guard case .done = event else { return reply.part(event) }
                        ended()
                        reply(event)
                    case .failure(let error):
                        ended()
                        reply.fail(error)
                    }
                }
            }
        case (.embed(let request), .language(let server)):
            start(reply) { ended in
                server.embed(request) { result in
                    ended()
                    switch result {
                    case .success(let answer): reply(answer.reply, body: Self.bytes(answer.vectors))
                    case .failure(let error): reply.fail(error)
                    }
                }
            }
        case (.tokenize(let request), .language(let server)): server.tokenize(request) { Self.answer(reply, $0) }
        case (.detokenize(let tokens), .language(let server)): server.detokenize(tokens) { Self.answer(reply, $0) }
        case (.ping, .features(let server)): server.ping { reply(Acknowledged()) }
        case (.ping, .language(let server)): server.ping { reply(Acknowledged()) }
        case (.ping, .texts(let server)): server.ping { reply(Acknowledged()) }
        case (.infer, .language):
            reply.fail(
                MartletError(
                    .invalidRequest, "this is a language model; ask it at /v1/chat/completions or /v1/completions",
                    param: "model"))
        case (.generate, _), (.embed, _), (.tokenize, _), (.detokenize, _):
            reply.fail(
                MartletError(
                    .invalidRequest, "this is not a language model; ask it at /predict or /v2", param: "model"))
        case (.pause, _), (.cancel, _), (.drain, _): reply(Acknowledged())
        }
    }

    /// The asker of this frame does not wait any more. From the connection's reading thread.
    func cancel(_ frame: UInt64) {
        switch model {
        case .features(let server): server.cancel(frame)
        case .texts(let server): server.cancel(frame)
        case .language(let server):
            if let id = running.ids.withLock({ $0[frame] ?? nil }) { server.cancel(id) }
        }
    }

    func drain() {
        switch model {
        case .features(let server): server.drain()
        case .language(let server): server.drain()
        case .texts(let server): server.drain()
        }
    }

    /// `work` calls its argument once, at its end.
    private func start(
        _ reply: ControlClient.Reply, _ work: (_ ended: @escaping @Sendable () -> Void) -> LanguageServer.RequestID
    ) {
        let running = running
        running.ids.withLock { $0[reply.id] = .some(nil) }
        let id = work { _ = running.ids.withLock { $0.removeValue(forKey: reply.id) } }
        // It may have ended already.
        running.ids.withLock { if $0.keys.contains(reply.id) { $0[reply.id] = id } }
    }

    private static func answer(_ reply: ControlClient.Reply, _ result: Result<InferenceAnswer, MartletError>) {
        switch result {
        case .success(let answer): reply(head: answer.reply.head, body: answer.body)
        case .failure(let error): reply.fail(error)
        }
    }

    private static func answer(_ reply: ControlClient.Reply, _ result: Result<some Encodable, MartletError>) {
        switch result {
        case .success(let answer): reply(answer)
        case .failure(let error): reply.fail(error)
        }
    }

    /// float32, little-endian, row by row.
    private static func bytes(_ vectors: [[Float]]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * vectors.reduce(0) { $0 + $1.count })
        for vector in vectors { for value in vector { bytes.appendLittleEndian(value.bitPattern) } }
        return bytes
    }
}
