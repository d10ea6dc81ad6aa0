import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// What is saved is what transformers wrote, tensor by tensor.
@Suite struct LanguageSaveTests {
    /// All but one that came under its weight's other name.
    private static let names = LanguageDecoderTests.names.filter { $0 != "given-llama-head-alone" }

    @Test(arguments: names) func `names, shapes and values are those of transformers`(
        _ name: String
    ) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let bundle = try golden.withFolder { try LanguageBundle.load($0) }
            try withScratch { folder in
                try LanguageBundle.save(bundle.model, config: bundle.folder.config, to: folder)
                let saved = try SafeTensors(path: folder.appending(path: "model.safetensors").path)
                let expected = try golden.weights()
                #expect(Set(saved.names) == Set(expected.map(\.0)))
                #expect(saved.metadata["format"] == "pt")
                for (tensor, value) in expected { #expect(try saved.tensor(tensor).equals(value), "\(tensor)") }
            }
        }
    }

    @Test(arguments: [true, false]) func `nanoGPT's model starts as it does there and survives a save`(
        _ bias: Bool
    ) throws {
        try onCompute {
            let config = GPTConfig(layers: 3, heads: 4, width: 128, context: 64, dropout: 0.2, bias: bias)
                .config(vocabularyCount: 65)
            let model = try LanguageModelCatalog.make(config: config)
            try model.initialize(seed: 7)
            let state = Dictionary(uniqueKeysWithValues: model.state().map { ($0.0, $0.1) })
            let deviation = { (name: String) in try #require(state[name]).variance([0, 1]).sqrt().item() }
            #expect(abs(try deviation("transformer.wte.weight") - 0.02) < 0.001)
            #expect(abs(try deviation("transformer.h.0.attn.c_attn.weight") - 0.02) < 0.0005)
            #expect(abs(try deviation("transformer.h.2.mlp.c_proj.weight") - 0.02 / 6.0.squareRoot()) < 0.0003)
            #expect((state["transformer.h.0.mlp.c_fc.bias"] != nil) == bias)
            #expect(state["lm_head.weight"] == nil)
            #expect(model.attentionDropout == 0.2)
            let tokens = LanguageGolden.prompt(40, vocabulary: 65)
            try withScratch { folder in
                try LanguageBundle.save(model, config: config, to: folder)
                let loaded = try LanguageBundle.load(folder).model
                #expect(try difference(model.logits(of: tokens, rows: 40), loaded.logits(of: tokens, rows: 40)) == 0)
            }
        }
    }

    @Test func `gradients reach every parameter, through padding and packing alike`() throws {
        try onCompute {
            for name in LanguageDecoderTests.names {
                let golden = try LanguageGolden(name)
                let model = try golden.withFolder { try LanguageBundle.load($0).model }
                let forward = Forward(training: true, seed: 1)
                let attention = try SequenceAttention(rows: 3, length: 20, dropout: 0.1, forward)
                let tokens = try Tensor(LanguageGolden.prompt(60), shape: [60])
                let logits = try model.logits(model.hidden(tokens, attention, forward), forward)
                try logits.logSoftmax().mul(logits.detach()).sum().backward()
                for item in model.parameters() where !item.name.contains("experts") {
                    let gradient = try #require(item.parameter.value.grad, "\(name): \(item.name)")
                    #expect(try gradient.isfinite().all().intItem() == 1)
                }
            }
        }
    }

    @Test func `sequences side by side do not see each other`() throws {
        try onCompute {
            for name in ["llama", "gemma2", "mixtral", "gpt2"] {
                let model = try LanguageGolden(name).withFolder { try LanguageBundle.load($0).model }
                let (first, second) = (LanguageGolden.prompt(50), Array(LanguageGolden.prompt(90).dropFirst(30)))
                try Tensor.inference {
                    let attention = try SequenceAttention(lengths: [50, 60])
                    let tokens = try Tensor(first + second, shape: [110])
                    let forward = Forward.inference()
                    let all = try model.logits(model.hidden(tokens, attention, forward), forward)
                    let parts = try all.split([50, 60])
                    #expect(try difference(parts[0], model.logits(of: first, rows: 50)) < 2e-5)
                    #expect(try difference(parts[1], model.logits(of: second, rows: 60)) < 2e-5)
                }
            }
        }
    }
}
