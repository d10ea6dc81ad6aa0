import MartletServing
import MartletTensor
import MartletWire
import Testing

private let compute = ComputeThread()

/// What is served is what transformers gave: through the cache of pages in every cut, and through the whole server.
@Suite struct LanguageCacheTests {
    /// Their angles hang on the text's length beyond 128 tokens, so that they are served up to there.
    private static let short = ["llama-dynamic", "llama-longrope", "phi3-longrope"]

    @Test(arguments: TinyLanguageModel.names)
    func logitsThroughTheCacheAreThoseOfTransformers(_ name: String) throws {
        try compute.run {
            let model = try TinyLanguageModel.golden(name)
            let expected = try TinyLanguageModel.expected(name)
            let context = model.geometry.contextLength
            #expect(Self.short.contains(name) ? context == 128 : context >= 300)
            for count in [1, 17, 300] where count <= context {
                let wanted = try expected.tensor("logits/\(count)")
                for size in [count, 64, 7, 1] {
                    let parts = LanguageAttentionTests.parts(count, size)
                    let all = try LanguageAttentionTests.paged(
                        model, [prompt(count, vocabulary: model.geometry.vocabularyCount)], parts: [parts])[0]
                    let rows = wanted.size(0)
                    let error = try all.narrow(0, from: count - rows, length: rows).sub(wanted).abs().max().item()
                    #expect(error <= 1e-4, "\(name), \(count) tokens in parts of \(size): \(error)")
                }
            }
        }
    }

    @Test(arguments: TinyLanguageModel.names)
    func greedyAnswersAreThoseOfTransformers(_ name: String) async throws {
        let served = try ServedModel(name, isGolden: true, options: LanguageServerTests.exact())
        let expected = try compute.run { try TinyLanguageModel.expected(name).tensor("greedy").array(of: Int.self) }
        #expect(expected.count == 64)
        let events = try await served.events(.tokens(prompt(17), max: 64, topLogprobs: 0))
        #expect(events.chances().map(\.id) == expected)
    }
}
