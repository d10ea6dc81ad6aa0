import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOCore
import Synchronization
import Testing

/// A server whose engine is played by the test: a language model is imported through the real routes, and its replica
/// answers as `answer` says.
struct OpenAIFake: Sendable {
    /// What a replica does with a request: events are sent with `send`, and `cancelled` tells whether the client left.
    typealias Answer = @Sendable (GenerationRequest, Exchange) async throws -> Void

    struct Exchange: Sendable {
        let connection: FakeConnection
        let frame: Frame
        let isCancelled: @Sendable () -> Bool

        func send(_ event: GenerationEvent) throws {
            var kind = Frame.Kind.part
            if case .done = event { kind = .reply }
            connection.send(Frame(kind: kind, id: frame.id, head: try event.head).encoded())
        }

        func fail(_ error: MartletError) throws {
            let head = [UInt8](try JSONEncoder.wire.encode(error))
            connection.send(Frame(kind: .failure, id: frame.id, head: head).encoded())
        }
    }
    /// What a worker does with a fine-tuning job.
    typealias Tune = @Sendable (TrainTask, FakeConnection, FakeEngine.Started) async throws -> Void

    let live: LiveServer
    let engine: FakeEngine
    /// What the replica was asked last.
    let asked = Recorder()

    final class Recorder: Sendable {
        private struct State {
            var requests: [GenerationRequest] = []
            /// All that was asked but signs of life.
            var frames = 0
            /// Requests that are not answered, and how many of them were cancelled.
            var held: Set<UInt64> = []
            var left = 0
        }
        private let state = Mutex(State())
        func add(_ request: GenerationRequest) { state.withLock { $0.requests.append(request) } }
        var last: GenerationRequest? { state.withLock { $0.requests.last } }
        var count: Int { state.withLock { $0.requests.count } }
        func addFrame() { state.withLock { $0.frames += 1 } }
        var frameCount: Int { state.withLock { $0.frames } }
        func hold(_ id: UInt64) { state.withLock { _ = $0.held.insert(id) } }
        func cancel(_ id: UInt64) { state.withLock { if $0.held.remove(id) != nil { $0.left += 1 } } }
        var heldCount: Int { state.withLock { $0.held.count } }
        var leftCount: Int { state.withLock { $0.left } }
    }
    /// Whether vectors and rows are never answered.
    var holds = false

    static func with(
        _ answer: @escaping Answer = OpenAIFake.say("Hel", "lo"), models: [String] = ["tiny"],
        tune: Tune? = nil, holds: Bool = false, time: TestTime = TestTime(),
        configure: @escaping (inout Configuration) -> Void = { _ in }, _ body: (OpenAIFake) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("fake-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let engine = try await FakeEngine(folder: folder)
        try await LiveServer.with(
            {
                $0.enginePath = engine.program
                configure(&$0)
            }, time: time
        ) { live in
            let fake = OpenAIFake(live: live, engine: engine, holds: holds)
            let player = Task { await fake.play(answer, tune) }
            defer { player.cancel() }
            for model in models { try await fake.importModel(model) }
            try await body(fake)
        }
    }

    /// An answer of these pieces, one token each.
    static func say(_ pieces: String..., finish: GenerationEvent.Finish = .stop) -> Answer {
        { request, exchange in
            try exchange.send(.started(promptTokens: 5, cachedTokens: 2))
            for choice in 0..<request.choiceCount {
                for piece in pieces {
                    let chance = TokenChance(
                        id: 1, bytes: Array(piece.utf8), logprob: -0.5,
                        top: (0..<(request.topLogprobs ?? 0)).map { index in
                            .init(id: index, bytes: [UInt8(ascii: "a")], logprob: -Double(index) - 1)
                        })
                    try exchange.send(
                        .text(choice: choice, piece, tokens: request.topLogprobs == nil ? [] : [chance]))
                }
                try exchange.send(.finished(choice: choice, finish, completionTokens: pieces.count))
            }
            try exchange.send(.done(usage(completion: pieces.count * request.choiceCount)))
        }
    }

    static func usage(prompt: Int = 5, completion: Int) -> GenerationUsage {
        GenerationUsage(
            promptTokens: prompt, cachedTokens: 2, completionTokens: completion, queueMicroseconds: 1,
            prefillMicroseconds: 1, decodeMicroseconds: 1)
    }

    // MARK: The engine's side

    private func play(_ answer: @escaping Answer, _ tune: Tune?) async {
        await withTaskGroup(of: Void.self) { group in
            while !Task.isCancelled, let started = await engine.next(within: 3600) {
                group.addTask {
                    do { try await serve(started, answer, tune) } catch { print("the fake engine ended: \(error)") }
                }
            }
            group.cancelAll()
        }
    }

    private func serve(_ started: FakeEngine.Started, _ answer: @escaping Answer, _ tune: Tune?) async throws {
        let (connection, task) = try await started.dial()
        switch task {
        case .importModel(let task):
            try Self.writeBundle(task)
            try await connection.request(
                .finish(
                    JobResult(
                        bundle: "bundle", card: ModelCard(), report: ["findings": ["a note"]],
                        usage: .init(cpuSeconds: 0, rows: 0))))
            started.kill()
        case .serve(let task):
            try await connection.request(
                .ready(
                    ReplicaReady(
                        signature: Signature(), loadSeconds: 0.1, residentBytes: 1 << 20,
                        serving: ["precision": "float32"])))
            try await replica(task, connection, started, answer)
        case .train(let task):
            guard let tune else { return started.kill() }
            do { try await tune(task, connection, started) } catch let error as MartletError {
                try await connection.request(.fail(error))
                started.kill()
            }
        case .profile:
            try await connection.request(
                .finish(JobResult(report: ["rows": 1], usage: .init(cpuSeconds: 0, rows: 1))))
            started.kill()
        default: started.kill()
        }
    }

    private func replica(
        _ task: ServeTask, _ connection: FakeConnection, _ started: FakeEngine.Started, _ answer: @escaping Answer
    ) async throws {
        let cancelled = Cancelled()
        for await frame in connection.requests {
            if frame.kind == .cancel {
                cancelled.add(frame.id)
                asked.cancel(frame.id)
                continue
            }
            let request = try JSONDecoder.wire.decode(PlatformRequest.self, from: Data(frame.head))
            if case .ping = request {} else { asked.addFrame() }
            switch request {
            case .infer where holds, .embed where holds: asked.hold(frame.id)
            case .generate(let request):
                asked.add(request)
                Task {
                    let exchange = Exchange(
                        connection: connection, frame: frame, isCancelled: { cancelled.has(frame.id) })
                    do { try await answer(request, exchange) } catch let error as MartletError {
                        try exchange.fail(error)
                    }
                }
            case .embed(let request):
                let width = request.dimensions ?? 4
                var bytes: [UInt8] = []
                for row in request.inputs.indices {
                    for column in 0..<width { bytes.appendLittleEndian((Float(row) + Float(column) / 4).bitPattern) }
                }
                try connection.reply(
                    to: frame, EmbeddingReply(width: width, tokens: 3 * request.inputs.count), body: bytes)
            case .tokenize(let request):
                // The first is the one that begins a text.
                let tokens = (request.addSpecialTokens ? [1] : []) + [2, 3]
                try connection.reply(to: frame, TokenizeReply(tokens: tokens, contextLength: 64))
            case .detokenize(let tokens):
                try connection.reply(to: frame, DetokenizeReply(text: "\(tokens.count) tokens of \(task.model)"))
            case .drain:
                try connection.reply(to: frame, Acknowledged())
                started.kill()
            default: try connection.reply(to: frame, Acknowledged())
            }
        }
    }

    private final class Cancelled: Sendable {
        private let ids = Mutex<Set<UInt64>>([])
        func add(_ id: UInt64) { ids.withLock { _ = $0.insert(id) } }
        func has(_ id: UInt64) -> Bool { ids.withLock { $0.contains(id) } }
    }

    private static func writeBundle(_ task: ImportTask) throws {
        let folder = task.directory + "/bundle"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var signature = Signature()
        // A model called so takes rows.
        if task.name != "rows" {
            signature.kind = .language
            signature.language = LanguageSummary(
                architecture: "llama", parameterCount: 1000, contextLength: 64, vocabularyCount: 100, width: 8,
                layerCount: 1, storedPrecision: "F32", hasChatTemplate: true, generates: true)
        }
        let files: [(String, Data)] = [
            (BundleFile.weights, Data(task.name.utf8)), (BundleFile.config, Data("{}".utf8)),
            (BundleFile.card, try JSONEncoder.wire.encode(ModelCard())),
            (BundleFile.signature, try JSONEncoder.wire.encode(signature)),
        ]
        let all = files + (signature.isLanguage ? [] : [(BundleFile.preprocessing, Data("{}".utf8))])
        for (name, data) in all { try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
    }

    // MARK: The client's side

    /// Through the routes that `models import` uses.
    func importModel(_ name: String) async throws {
        let base = "/api/v1/models/\(name)/imports"
        let begun = try await live.ask(.POST, base)
        try #require(begun.status == 201, "\(begun.text)")
        let upload = try #require(try begun.json()["upload"]?.string)
        for file in ["config.json", "model.safetensors"] {
            let sent = try await live.ask(.PUT, "\(base)/\(upload)/files/\(file)", body: Data("{}".utf8))
            try #require(sent.status == 201, "\(sent.text)")
        }
        let job = try await live.ask(.POST, "\(base)/\(upload)/commit")
        try #require(job.status == 201, "\(job.text)")
        let id = try #require(try job.json()["id"]?.string)
        try await eventually {
            let state = try await live.ask(.GET, "/api/v1/jobs/\(id)").json()
            try #require(state["state"]?.string != "failed", "\(state.serialized())")
            return state["state"]?.string == "succeeded"
        }
    }

    /// The sum of a field over the rows of what inference used: they are by the hour, which may end within a test.
    func used(_ name: String, of resource: String? = nil) async throws -> Int {
        let rows = try await live.ask(.GET, "/api/v1/usage").json()["data"]?.array ?? []
        return rows.filter { $0["kind"] == "inference" && (resource == nil || $0["resource"]?.string == resource) }
            .reduce(0) { $0 + ($1[name]?.int ?? 0) }
    }

    func post(_ path: String, _ body: JSON) async throws -> LiveServer.Answer {
        try await live.post(path, body.serialized(), headers: [("Content-Type", "application/json")])
    }

    /// The documents of a stream, `[DONE]` last as a string.
    func stream(_ path: String, _ body: JSON) async throws -> [JSON] {
        let answer = try await post(path, body)
        try #require(answer.status == 200, "\(answer.text)")
        return try Self.documents(answer)
    }

    static func documents(_ answer: LiveServer.Answer) throws -> [JSON] {
        #expect(answer.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true)
        #expect(answer.headers.first(name: "x-accel-buffering") == "no", "a proxy passes on what it gets")
        return try answer.text.components(separatedBy: "\n\n").filter { !$0.isEmpty }.map { block in
            let data = try #require(block.split(separator: "\n").last { $0.hasPrefix("data: ") }?.dropFirst(6))
            return data == "[DONE]" ? .string("[DONE]") : try JSONParser.parse(String(data), limits: .trusted)
        }
    }

    /// A chat of one message with more fields.
    static func chat(_ fields: JSONObject = [:]) -> JSON {
        var object: JSONObject = ["model": "tiny", "messages": [["role": "user", "content": "Hi"]]]
        for (key, value) in fields { object[key] = value }
        return .object(object)
    }
}
