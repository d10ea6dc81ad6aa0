import Foundation
import MartletModels
import MartletServing
import MartletTensor
import MartletText
import MartletWire
import Testing

/// Decoders that make vectors of texts: what `scripts/golden/make_tiny_embedder.py` wrote of sentence-transformers.
@Suite struct EmbedderTests {
    private static let golden = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/tiny-embedder")

    private static func expected() throws -> [(text: String, tokens: Int, vector: [Double])] {
        let data = try Data(contentsOf: golden.appending(path: "expected.json"))
        return try #require(JSONParser.parse(data).object).map { text, row in
            (
                text, try #require(row["tokens"]?.int),
                try #require(row["vector"]?.array).compactMap(\.double)
            )
        }
    }

    /// A server over a copy of the folder on a compute thread of its own, until it goes.
    private final class Served: Sendable {
        let server: LanguageServer
        let pooling: TextEncoder.Pooling
        private let finished = DispatchSemaphore(value: 0)

        /// - Parameters:
        ///   - changes: of the config.
        ///   - pooling: what 1_Pooling/config.json has in place of its own.
        init(_ changes: JSONObject = [:], pooling: JSON? = nil) throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "embedder-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            try FileManager.default.copyItem(at: EmbedderTests.golden, to: folder)
            let file = folder.appending(path: "config.json")
            var config = try #require(JSONParser.parse(Data(contentsOf: file)).object)
            for (key, value) in changes { config[key] = value }
            try JSON.object(config).data.write(to: file)
            try pooling?.data.write(to: folder.appending(path: "1_Pooling/config.json"))
            let task = ServeTask(
                model: "tiny", version: 1, bundle: folder.path, share: MachineShare(threads: 1), maxBatch: 64,
                queueLimit: 64, language: LanguageServing(precision: "float32"))
            let (ready, finished) = (Handed<(LanguageServer, TextEncoder.Pooling)>(), finished)
            Thread.detachNewThread {
                do {
                    try ComputeThread().run {
                        let (model, server) = try LanguageServer.load(task)
                        ready.put(.success((server, model.pooling)))
                        server.run(model)
                    }
                } catch {
                    ready.put(.failure(error))
                }
                finished.signal()
            }
            (server, self.pooling) = try ready.take()
        }

        deinit {
            server.drain()
            finished.wait()
        }

        func embed(_ inputs: [EmbeddingRequest.Input]) async throws -> (reply: EmbeddingReply, vectors: [[Float]]) {
            try await withCheckedThrowingContinuation { continuation in
                server.embed(EmbeddingRequest(inputs: inputs)) { continuation.resume(with: $0) }
            }
        }
    }

    private static let whole: JSONObject = ["architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": true]

    /// The body alone, by its class or by what its files lack, and a model whose embedding is its output layer too.
    @Test(arguments: [[:], ["architectures": ["Qwen3ForCausalLM"]], whole] as [JSONObject])
    func vectorsAreThoseOfSentenceTransformers(_ changes: JSONObject) async throws {
        let served = try Served(changes)
        let expected = try Self.expected()
        let (reply, vectors) = try await served.embed(expected.map { .text($0.text) })
        // The end's token is one of each text.
        #expect(reply.tokens == expected.reduce(0) { $0 + $1.tokens } && served.pooling == .last)
        for (row, vector) in zip(expected, vectors) {
            #expect(vector.count == 16, "\(row.text)")
            #expect(zip(vector, row.vector).allSatisfy { abs(Double($0) - $1) <= 1e-4 }, "\(row.text)")
        }
        // Tokens are taken as they come: without the end there is another vector.
        let bare = try await served.embed([.tokens("x".utf8.map { Int($0) })]).vectors[0]
        #expect(zip(bare, vectors[2]).contains { abs($0 - $1) > 1e-2 })
        // Only a model with an output layer writes.
        let request = GenerationRequest.tokens([5, 6, 7], max: 3)
        if changes["tie_word_embeddings"] == true {
            #expect(try await served.server.events(request).usage?.completionTokens == 3)
        } else {
            await #expect {
                _ = try await served.server.events(request)
            } throws: {
                ($0 as? MartletError)?.message.contains("/v1/embeddings") == true
            }
        }
    }

    @Test func theFoldersOtherPoolingsAreDoneAsWell() async throws {
        var found: [TextEncoder.Pooling: [Float]] = [:]
        for (way, kind) in [
            ("cls_token", TextEncoder.Pooling.first), ("mean_tokens", .mean), ("max_tokens", .max),
            ("lasttoken", .last),
        ] {
            let served = try Served(pooling: ["pooling_mode_\(way)": true])
            #expect(served.pooling == kind)
            found[kind] = try await served.embed([.tokens([65, 66, 67, 68])]).vectors[0]
        }
        // Nothing comes before a text's first token.
        let alone = try await Served().embed([.tokens([65])]).vectors[0]
        #expect(zip(alone, try #require(found[.first])).allSatisfy { abs($0 - $1) <= 1e-5 })
        #expect(Set(found.values).count == 4)
    }

    /// What cannot be made as the folder says is not made otherwise; the model writes all the same.
    @Test func aPoolingThatThereIsNotIsRefusedByName() async throws {
        let served = try Served(Self.whole, pooling: ["pooling_mode_weightedmean_tokens": true])
        await #expect {
            _ = try await served.embed([.text("x")])
        } throws: {
            let error = $0 as? MartletError
            return error?.code == .invalidRequest && error?.message.contains("weightedmean") == true
        }
        #expect(try await served.server.events(.tokens([5, 6, 7], max: 3)).usage?.completionTokens == 3)
    }

    @Test func oneThatReadsBothWaysIsRefusedByName() async throws {
        for (key, value) in [("is_causal", false), ("use_bidirectional_attention", true)] as [(String, JSON)] {
            #expect {
                _ = try Served([key: value])
            } throws: {
                let error = $0 as? MartletError
                return error?.code == .unsupportedFormat && error?.message.contains(key) == true
            }
            // One with an output layer writes, and makes no vectors.
            var config = Self.whole
            config[key] = value
            let whole = try Served(config)
            #expect(try await whole.server.events(.tokens([5, 6, 7], max: 3)).usage?.completionTokens == 3)
            await #expect {
                _ = try await whole.embed([.text("x")])
            } throws: {
                ($0 as? MartletError)?.message.contains(key) == true
            }
        }
    }
}
