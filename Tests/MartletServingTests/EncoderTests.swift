import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletWire
import Testing

private let compute = ComputeThread()

/// Encoders make vectors of texts through the same server.
@Suite struct EncoderTests {
    private final class Served: Sendable {
        let server: LanguageServer
        private let finished = DispatchSemaphore(value: 0)

        init(_ name: String, pooling: JSON? = nil, format: WeightFormat? = .dense) throws {
            let server = LanguageServer(
                name: "tiny", text: ByteTokens.text(count: 100),
                bounds: try Self.bounds(), adapters: nil)
            self.server = server
            let thread = ComputeThread()
            let finished = finished
            Thread.detachNewThread {
                try? thread.run {
                    let encoder = try LoadedEncoder(try EncoderTests.bundle(name, pooling), format: format)
                    server.run(encoder)
                }
                finished.signal()
            }
        }

        private static func bounds() throws -> LanguageServer.Bounds {
            var bounds = LanguageServer.Bounds(contextLength: 60, vocabularyCount: 100)
            bounds.generates = false
            return bounds
        }

        deinit {
            server.drain()
            finished.wait()
        }

        func embed(_ texts: [[Int32]]) async throws -> [[Float]] {
            let request = EmbeddingRequest(inputs: texts.map { .tokens($0.map { Int($0) }) })
            return try await withCheckedThrowingContinuation { continuation in
                server.embed(request) { continuation.resume(with: $0.map(\.vectors)) }
            }
        }
    }

    /// A small encoder with weights from a seed, as its folder gives it.
    private static func bundle(_ name: String, _ pooling: JSON? = nil) throws -> EncoderBundle {
        let folder = FileManager.default.temporaryDirectory.appending(path: "encoder-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try FileManager.default.createDirectory(
            at: folder.appending(path: "1_Pooling"), withIntermediateDirectories: true)
        let config = try TinyLanguageModel.config(name)
        let model = try TextEncoderCatalog.make(config: config, hasPooler: false)
        try model.initialize(seed: 5)
        try config.serialized().write(
            to: folder.appending(path: "config.json"), atomically: true, encoding: .utf8)
        try SafeTensors.write(
            model.state().map { ($0.0, try $0.1.detach().contiguous()) },
            to: folder.appending(path: "model.safetensors").path)
        if let pooling {
            try pooling.serialized().write(
                to: folder.appending(path: "1_Pooling/config.json"), atomically: true, encoding: .utf8)
        }
        return try EncoderBundle.load(folder)
    }

    private static func expected(_ name: String, _ tokens: [Int32], _ pooling: TextEncoder.Pooling) throws -> [Float] {
        try compute.run {
            try Tensor.inference {
                let model = try bundle(name).model
                let hidden = try model.hidden(
                    Tensor(tokens.map(Int64.init)), lengths: [tokens.count], .inference())
                let vector = try model.pool(hidden, lengths: [tokens.count], pooling).array(of: Float.self)
                let length = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                return vector.map { Float(Double($0) / length) }
            }
        }
    }

    @Test(arguments: ["bert", "roberta"]) func textsSideBySideGetTheVectorsThatEachHasAlone(_ name: String) async throws
    {
        let served = try Served(name)
        let texts = [5, 41, 1, 17].enumerated().map { prompt($1, seed: $0, vocabulary: 90) }
        let vectors = try await served.embed(texts)
        for (text, vector) in zip(texts, vectors) {
            let expected = try Self.expected(name, text, .mean)
            #expect(zip(vector, expected).allSatisfy { abs($0 - $1) <= 1e-5 })
        }
    }

    @Test func theFoldersOwnPoolingIsUsed() async throws {
        let text = prompt(20, vocabulary: 90)
        let first = try await Served("bert", pooling: ["pooling_mode_cls_token": true]).embed([text])[0]
        #expect(zip(first, try Self.expected("bert", text, .first)).allSatisfy { abs($0 - $1) <= 1e-5 })
        let mean = try await Served("bert").embed([text])[0]
        #expect(zip(first, mean).contains { abs($0 - $1) > 1e-3 })
    }

    @Test func packedWeightsGiveNearlyTheSameVectors() async throws {
        let text = prompt(20, vocabulary: 90)
        let exact = try Self.expected("bert", text, .mean)
        let found = try await Served("bert", format: nil).embed([text])[0]
        #expect(zip(found, exact).allSatisfy { abs($0 - $1) <= 3e-3 })
    }

    @Test func whoAsksForTextIsToldWhereToAsk() async throws {
        let served = try Served("bert")
        await #expect {
            let (stream, continuation) = AsyncThrowingStream.makeStream(of: GenerationEvent.self)
            served.server.generate(.tokens(prompt(5, vocabulary: 90), max: 2)) { result in
                switch result {
                case .success(let event): continuation.yield(event)
                case .failure(let error): continuation.finish(throwing: error)
                }
            }
            for try await _ in stream {}
        } throws: {
            let error = $0 as? MartletError
            return error?.code == .invalidRequest && error?.message.contains("/v1/embeddings") == true
        }
        // And a text that is too long is told so, before it is computed.
        await #expect {
            _ = try await served.embed([prompt(61, vocabulary: 90)])
        } throws: {
            ($0 as? MartletError)?.code == .contextLengthExceeded
        }
        #expect(try await served.embed([prompt(5, vocabulary: 90)]).count == 1)
    }
}
