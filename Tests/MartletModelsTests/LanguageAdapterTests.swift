import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// Adapters that PEFT wrote are added to their base, and to no other.
@Suite struct LanguageAdapterTests {
    private static func withAdapter(_ base: String, _ body: (URL, LanguageGolden) throws -> Void) throws {
        let golden = try LanguageGolden("adapter-\(base)")
        try withScratch { folder in
            try golden.config.data.write(to: folder.appending(path: "adapter_config.json"))
            try SafeTensors.write(golden.weights(), to: folder.appending(path: "adapter_model.safetensors").path)
            try body(folder, golden)
        }
    }

    @Test(arguments: ["llama", "gpt2"]) func `an adapter is merged as PEFT merges it`(_ base: String) throws {
        try onCompute {
            try Self.withAdapter(base) { adapter, golden in
                try LanguageGolden(base).withFolder { folder in
                    let target = adapter.appending(path: "bundle")
                    let report = try ModelImport.merge(adapter, into: folder, to: target)
                    #expect(report.findings.contains { $0.contains("someone/\(base)") })
                    let model = try LanguageBundle.load(target).model
                    let expected = try golden.expected.tensor("logits")
                    let found = try model.logits(of: LanguageGolden.prompt(40), rows: expected.size(0))
                    #expect(try difference(found, expected) <= 1e-4)
                }
            }
        }
    }

    @Test(arguments: ["llama", "gpt2"]) func `an adapter is imported as it is`(_ base: String) throws {
        try onCompute {
            try Self.withAdapter(base) { adapter, golden in
                try LanguageGolden(base).withFolder { folder in
                    let bundle = adapter.appending(path: "bundle")
                    let report = try ModelImport.run(from: adapter, to: bundle, base: folder)
                    #expect(report.isAdapter)
                    #expect(try report.parameterCount == golden.weights().reduce(0) { $0 + $1.1.count })
                    for name in ["adapter_config.json", "adapter_model.safetensors"] {
                        let (given, back) = (
                            try Data(contentsOf: adapter.appending(path: name)),
                            try Data(contentsOf: bundle.appending(path: name))
                        )
                        #expect(given == back, "\(name)")
                    }
                }
            }
        }
    }

    @Test func `M13: an adapter without its base, or with another, is refused with the base's name`() throws {
        try onCompute {
            try Self.withAdapter("llama") { adapter, _ in
                let target = adapter.appending(path: "bundle")
                expectFault(.invalidRequest, ["someone/llama", "import that model first"]) {
                    _ = try ModelImport.run(from: adapter, to: target)
                }
                for other in ["gpt2", "llama-head-20"] {
                    _ = try LanguageGolden(other).withFolder { folder in
                        expectFault(.invalidRequest, ["someone/llama", "not for this base"]) {
                            _ = try ModelImport.run(from: adapter, to: target, base: folder)
                        }
                    }
                }
                #expect(!FileManager.default.fileExists(atPath: target.path))
            }
        }
    }

    @Test func `adapters of other kinds are refused by name`() throws {
        let changes: [(String, JSON, String)] = [
            ("peft_type", "IA3", "IA3"), ("use_dora", true, "use_dora"), ("bias", "all", "bias"),
            ("modules_to_save", ["lm_head"], "modules_to_save"), ("alora_invocation_tokens", [1], "alora"),
            ("init_lora_weights", "pissa_niter_16", "pissa_niter_16"), ("init_lora_weights", "olora", "olora"),
        ]
        for (key, value, part) in changes {
            try Self.withAdapter("llama") { adapter, golden in
                var config = try #require(golden.config.object)
                config[key] = value
                try JSON.object(config).data.write(to: adapter.appending(path: "adapter_config.json"))
                expectFault(.unsupportedFormat, [part]) {
                    _ = try ModelImport.run(from: adapter, to: adapter.appending(path: "bundle"), base: adapter)
                }
            }
        }
    }

    /// PEFT takes the keys for expressions: one that is taken for a name would leave the layer's scale as it was.
    @Test(
        arguments: [
            ("(q|v)_proj", 4, MartletError.Code.unsupportedFormat, "(q|v)_proj"),
            ("layers.[01].self_attn.q_proj", 4, .unsupportedFormat, "[01]"),
            ("q_proj$", 4, .unsupportedFormat, "q_proj$"),
            ("q_proj", "4", .invalidData, "q_proj"),
        ] as [(String, JSON, MartletError.Code, String)])
    func `a scale that cannot be read is refused`(
        _ key: String, _ value: JSON, _ code: MartletError.Code, _ part: String
    ) throws {
        try onCompute {
            try Self.withAdapter("llama") { adapter, golden in
                var config = try #require(golden.config.object)
                config["alpha_pattern"] = .object([key: value])
                try JSON.object(config).data.write(to: adapter.appending(path: "adapter_config.json"))
                _ = try LanguageGolden("llama").withFolder { base in
                    expectFault(code, ["alpha_pattern", part]) {
                        _ = try ModelImport.run(from: adapter, to: adapter.appending(path: "bundle"), base: base)
                    }
                }
            }
        }
    }

    @Test(arguments: [("lora_alpha", "16"), ("use_rslora", 1), ("alpha_pattern", [1])] as [(String, JSON)])
    func `a wrong value is told with the name of its file`(_ key: String, _ value: JSON) throws {
        try onCompute {
            try Self.withAdapter("llama") { adapter, golden in
                var config = try #require(golden.config.object)
                config[key] = value
                try JSON.object(config).data.write(to: adapter.appending(path: "adapter_config.json"))
                _ = try LanguageGolden("llama").withFolder { base in
                    expectFault(.invalidData, ["'\(key)' of adapter_config.json is"]) {
                        _ = try ModelImport.run(from: adapter, to: adapter.appending(path: "bundle"), base: base)
                    }
                }
            }
        }
    }

    @Test func `a base for what is no adapter is refused`() throws {
        try LanguageGolden("llama").withFolder { folder in
            let target = folder.appending(path: "bundle")
            expectFault(.invalidRequest, ["adapter_config.json", "base out"]) {
                _ = try ModelImport.run(from: folder, to: target, base: folder)
            }
            #expect(!FileManager.default.fileExists(atPath: target.path))
        }
    }

    @Test func `an adapter's config that is no JSON is named`() throws {
        try Self.withAdapter("llama") { adapter, _ in
            try Data("{".utf8).write(to: adapter.appending(path: "adapter_config.json"))
            expectFault(.invalidData, ["adapter_config.json"]) {
                _ = try ModelImport.run(from: adapter, to: adapter.appending(path: "bundle"))
            }
        }
    }
}
