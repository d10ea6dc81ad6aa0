import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletTesting
import MartletText
import MartletWire
import Testing

/// Small models of every architecture, with weights drawn from a seed.
enum TinyLanguageModel {
    /// The configs that the golden values of MartletModels were made with.
    static var names: [String] {
        let found = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return found.filter { isDecoder($0) }.sorted()
    }

    /// - Parameter changes: of the config.
    static func make(_ name: String, _ changes: JSONObject = [:]) throws -> any LanguageModel {
        var fields = try config(name).object ?? [:]
        for (key, value) in changes { fields[key] = value }
        let model = try LanguageModelCatalog.make(config: .object(fields))
        try model.initialize(seed: 7)
        try model.setTrainable(false)
        return model
    }

    /// With the weights that the golden values were made with.
    static func golden(_ name: String) throws -> any LanguageModel {
        let shapes = try JSONParser.parse(Data(contentsOf: folder.appending(path: "\(name)/shapes.json"))).object ?? [:]
        let weights = try shapes.map { tensor, shape in
            let shape = (shape.array ?? []).compactMap(\.int)
            return (tensor, try Tensor(DrawnWeights.weight(tensor, shape), shape: shape))
        }
        return try withScratch { scratch in
            try config(name).data.write(to: scratch.appending(path: "config.json"))
            try SafeTensors.write(weights, to: scratch.appending(path: "model.safetensors").path)
            let model = try LanguageBundle.load(scratch).model
            try model.setTrainable(false)
            return model
        }
    }

    /// What transformers gave with them: logits of the last tokens of prompts, and a greedy continuation.
    static func expected(_ name: String) throws -> SafeTensors {
        try SafeTensors(path: folder.appending(path: "\(name)/expected.safetensors").path)
    }

    static func config(_ name: String) throws -> JSON {
        try JSONParser.parse(Data(contentsOf: folder.appending(path: name).appending(path: "config.json")))
    }

    /// Encoders and models of other tasks have configs there too.
    private static func isDecoder(_ name: String) -> Bool {
        guard let config = try? config(name), let kinds = config["architectures"]?.array else { return false }
        return kinds.contains { kind in
            guard let kind = kind.string, LanguageModelCatalog.architectures.contains(kind) else { return false }
            return kind.hasSuffix("ForCausalLM") || kind.hasSuffix("LMHeadModel")
        }
    }

    private static var folder: URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "MartletModelsTests/Golden/language")
    }
}

extension LanguageModel {
    /// Logits [N, V] of one whole sequence, without a cache.
    func sequenceLogits(_ tokens: [Int32]) throws -> Tensor {
        try Tensor.inference {
            let attention = try SequenceAttention(lengths: [tokens.count])
            let hidden = try hidden(Tensor(tokens.map(Int64.init)), attention, .inference())
            return try logits(hidden, .inference())
        }
    }

    /// The likeliest continuation, computed anew for each token.
    func greedyContinuation(_ tokens: [Int32], count: Int) throws -> [Int] {
        var all = tokens
        for _ in 0..<count {
            let last = try sequenceLogits(all).select(0, all.count - 1)
            all.append(Int32(try last.argmax().intItem()))
        }
        return all.dropFirst(tokens.count).map { Int($0) }
    }
}

/// A token is a character of ASCII; 1 ends an answer.
enum ByteTokens {
    static func text(count: Int, render: (@Sendable ([JSON], [JSON], JSONObject) throws -> String)? = nil)
        -> LanguageText
    {
        let bytes = (0..<count).map { (token: Int) -> [UInt8]? in
            if token == 1 { return nil }
            return [token == 2 ? 10 : UInt8(token % 95 + 32)]
        }
        return LanguageText(
            encode: { text, _ in text.utf8.map { Int($0) } },
            decode: { String(decoding: $0.map { UInt8(truncatingIfNeeded: $0) }, as: UTF8.self) },
            render: render, vocabulary: TokenVocabulary(bytes: bytes, endTokens: [1]),
            sampling: Sampling(temperature: 0))
    }
}

/// A server over a small model on a compute thread of its own, until it goes.
final class ServedModel: Sendable {
    let server: LanguageServer
    let adapters: AdapterLibrary
    let finished = DispatchSemaphore(value: 0)
    private let gate = DispatchSemaphore(value: 0)

    init(
        _ name: String = "llama", _ changes: JSONObject = [:], isGolden: Bool = false,
        options: LoadedLanguageModel.Options = .init(),
        text: LanguageText? = nil, held: Bool = false, waiting: Int = .max
    ) throws {
        let compute = ComputeThread()
        let ready = Handed<(LanguageServer, AdapterLibrary)>()
        let (finished, gate) = (finished, gate)
        Thread.detachNewThread {
            try? compute.run {
                do {
                    let model = try isGolden ? TinyLanguageModel.golden(name) : TinyLanguageModel.make(name, changes)
                    let text = text ?? ByteTokens.text(count: model.geometry.vocabularyCount)
                    let loaded = try LoadedLanguageModel(model, vocabulary: text.vocabulary, options: options)
                    var bounds = LanguageServer.Bounds(
                        contextLength: loaded.contextLength, vocabularyCount: loaded.geometry.vocabularyCount)
                    if held { bounds.readers = 1 }
                    bounds.waiting = waiting
                    let server = LanguageServer(
                        name: "tiny", text: text, bounds: bounds, adapters: loaded.adapters)
                    ready.put(.success((server, loaded.adapters)))
                    if held { gate.wait() }
                    server.run(loaded)
                } catch {
                    ready.put(.failure(error))
                }
            }
            finished.signal()
        }
        (server, adapters) = try ready.take()
    }

    deinit {
        gate.signal()
        server.drain()
        finished.wait()
    }

    /// Lets a held server begin, with everything in its queue that was asked before.
    func release() async {
        // Requests are read in order; the failure of this one comes after the others are in.
        _ = try? await events(.tokens([], max: 1))
        gate.signal()
    }

    /// One request's events, to their end.
    func events(_ request: GenerationRequest) async throws -> [GenerationEvent] { try await server.events(request) }

    func started(_ request: GenerationRequest) -> RunningRequest { server.started(request) }
}

extension LanguageServer {
    func started(_ request: GenerationRequest) -> RunningRequest {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
        let id = generate(request) { result in
            switch result {
            case .success(let event):
                continuation.yield(event)
                if case .done = event { continuation.finish() }
            case .failure(let error): continuation.finish(throwing: error)
            }
        }
        return RunningRequest(id: id, stream: stream)
    }

    /// One request's events, to their end.
    func events(_ request: GenerationRequest) async throws -> [GenerationEvent] {
        try await started(request).events()
    }
}

/// What one thread makes and another waits for.
final class Handed<Value: Sendable>: @unchecked Sendable {
    // Unchecked: `value` is written before the signal and read after it.
    private var value: Result<Value, any Error>?
    private let semaphore = DispatchSemaphore(value: 0)

    /// The first counts.
    func put(_ value: Result<Value, any Error>) {
        self.value = self.value ?? value
        semaphore.signal()
    }

    func take() throws -> Value {
        semaphore.wait()
        guard let value else { throw MartletError(.internal, "nothing was handed over") }
        return try value.get()
    }
}

struct RunningRequest: Sendable {
    let id: UInt64
    let stream: AsyncThrowingStream<GenerationEvent, any Error>
    func events() async throws -> [GenerationEvent] {
        var all: [GenerationEvent] = []
        for try await event in stream { all.append(event) }
        return all
    }
}

extension [GenerationEvent] {
    func text(choice: Int = 0) -> String {
        reduce("") { text, event in
            if case .text(choice, let part, _) = event { text + part } else { text }
        }
    }
    func chances(choice: Int = 0) -> [TokenChance] {
        flatMap { event -> [TokenChance] in
            if case .text(choice, _, let tokens) = event { tokens } else { [] }
        }
    }
    func finish(choice: Int = 0) -> GenerationEvent.Finish? {
        for case .finished(choice, let finish, _) in self { return finish }
        return nil
    }
    var usage: GenerationUsage? {
        if case .done(let usage)? = last { usage } else { nil }
    }
}

extension GenerationRequest {
    static func tokens(
        _ prompt: [Int32], max: Int, tenant: String = "p", owner: String = "k", topLogprobs: Int? = nil
    ) -> GenerationRequest {
        GenerationRequest(
            prompt: .tokens(prompt.map { Int($0) }), maxTokens: max, sampling: Sampling(temperature: 0),
            topLogprobs: topLogprobs, ignoreEnd: true, tenant: tenant, owner: owner)
    }
}

/// Tokens that repeat themselves late.
func prompt(_ count: Int, seed: Int = 0, vocabulary: Int = 131) -> [Int32] {
    (0..<count).map { Int32((7 * $0 * $0 + 13 * $0 + 5 + 31 * seed) % (vocabulary - 3) + 3) }
}
