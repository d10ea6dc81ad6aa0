import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire
import Testing

/// Every decoder gives what transformers gives with the same config and weights.
@Suite struct LanguageDecoderTests {
    static let names = [
        "llama", "llama-tied-bias", "llama-head-20", "llama-linear", "llama-dynamic", "llama-llama3", "llama-yarn",
        "llama-yarn-mscale", "llama-longrope", "mistral", "qwen2", "qwen2-window", "qwen3", "mixtral", "qwen2-moe",
        "qwen3-moe", "phi3", "phi3-longrope", "gemma2", "gemma3", "gpt2", "gpt2-scaled",
        // Configs as they are found: older spellings, keys that are left out, names that other programs write.
        "given-llama-both", "given-llama-head-alone", "given-mistral-types", "given-qwen2-moe-window",
        "given-qwen3-moe-window", "given-phi3-longrope", "given-gemma3", "given-gpt2-head-apart",
    ]

    @Test(arguments: names) func `logits are those of transformers`(_ name: String) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let model = try golden.withFolder { try LanguageBundle.load($0).model }
            for length in [1, 17, 300] {
                let expected = try golden.expected.tensor("logits/\(length)")
                let found = try model.logits(of: LanguageGolden.prompt(length), rows: expected.size(0))
                let worst = try difference(found, expected)
                #expect(worst <= 1e-4, "\(name), \(length) tokens")
            }
        }
    }

    @Test(arguments: names) func `the greedy continuation is that of transformers`(_ name: String) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let model = try golden.withFolder { try LanguageBundle.load($0).model }
            let expected = try golden.expected.tensor("greedy").array(of: Int.self)
            #expect(expected.count == 64)
            #expect(try model.greedy(LanguageGolden.prompt(17), count: expected.count) == expected)
        }
    }
}
