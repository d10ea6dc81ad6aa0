import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// Of models that take pictures too, the text part is imported, and computes what transformers does of a text alone.
@Suite struct TextPartTests {
    private static let classes = [
        "wrapped-gemma3": "Gemma3ForCausalLM", "wrapped-mistral3": "MistralForCausalLM",
        "wrapped-llava": "LlamaForCausalLM", "wrapped-llava-next": "MistralForCausalLM",
        "wrapped-llava-onevision": "Qwen2ForCausalLM", "wrapped-internvl": "Qwen3ForCausalLM",
        "wrapped-qwen2-vl": "Qwen2ForCausalLM", "wrapped-qwen2-5-vl": "Qwen2ForCausalLM",
    ]

    /// Imports a golden model's folder, changed before.
    private static func imported<Result>(
        _ golden: LanguageGolden, change: (URL) throws -> Void = { _ in },
        _ body: (ImportReport, URL) throws -> Result
    ) throws -> Result {
        try golden.withFolder { folder in
            try change(folder)
            return try withScratch { scratch in
                let target = scratch.appending(path: "bundle")
                return try body(ModelImport.run(from: folder, to: target), target)
            }
        }
    }

    private static func edit(_ folder: URL, _ change: (inout JSONObject) -> Void) throws {
        let url = folder.appending(path: "config.json")
        var config = try #require(JSONParser.parse(Data(contentsOf: url)).object)
        change(&config)
        try JSON.object(config).data.write(to: url)
    }

    @Test(arguments: classes.keys.sorted()) func `the text part computes what transformers does`(
        _ name: String
    ) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            try Self.imported(golden) { report, target in
                let model = try LanguageBundle.load(target).model
                for length in [1, 17, 300] {
                    let expected = try golden.expected.tensor("logits/\(length)")
                    let found = try model.logits(of: LanguageGolden.prompt(length), rows: expected.size(0))
                    #expect(try difference(found, expected) <= 1e-4, "\(name), \(length) tokens")
                }
                let greedy = try golden.expected.tensor("greedy").array(of: Int.self)
                #expect(try model.greedy(LanguageGolden.prompt(17), count: greedy.count) == greedy)
            }
        }
    }

    @Test(arguments: classes.keys.sorted()) func `it becomes a model of its own class, and what is left out is told`(
        _ name: String
    ) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let left = try golden.weights().filter { name, _ in
                ["vision_tower.", "visual.", "multi_modal_projector.", "image_newline"].contains { name.contains($0) }
            }
            try Self.imported(golden) { report, target in
                #expect(report.architecture == Self.classes[name])
                #expect(report.task == "generate" && report.types == ["float32"])
                let bytes = left.reduce(0) { $0 + 4 * $1.1.count }
                let told = "\(left.count) tensors of \(bytes) bytes"
                #expect(!left.isEmpty && report.findings.contains { $0.hasSuffix(told) }, "\(report.findings)")
                let files = try WeightFiles(folder: target)
                #expect(files.byteCount == report.byteCount && report.byteCount == 4 * report.parameterCount)
                #expect(files.names.allSatisfy { $0.hasPrefix("model.") || $0 == "lm_head.weight" })
                let config = try ModelFolder(target).config
                #expect(config["vision_config"] == nil && config["text_config"] == nil)
                #expect(config["architectures"] == [.string(Self.classes[name] ?? "")])
            }
        }
    }

    @Test func `both spellings of the tensors' names give the same`() throws {
        try onCompute {
            let golden = try LanguageGolden("wrapped-mistral3")
            let older = try Self.imported(golden) { try Data(contentsOf: $1.appending(path: "model.safetensors")) }
            let respelled = { (folder: URL) in
                let tensors = try golden.weights().map { name, tensor in
                    let inner = name.replacing("language_model.model.", with: "language_model.")
                    let isHead = name.hasPrefix("language_model.lm_head.")
                    return (isHead ? name.replacing("language_model.", with: "") : "model." + inner, tensor)
                }
                try SafeTensors.write(tensors, to: folder.appending(path: "model.safetensors").path)
            }
            let newer = try Self.imported(golden, change: respelled) {
                try Data(contentsOf: $1.appending(path: "model.safetensors"))
            }
            #expect(older == newer)
        }
    }

    /// As PEFT names the layers of such a model, now and before.
    @Test(arguments: ["model.language_model.", "language_model.model."])
    func `an adapter for the whole fits where it adds to the text part`(_ prefix: String) throws {
        try onCompute {
            try Self.imported(LanguageGolden("wrapped-mistral3")) { _, base in
                try withScratch { scratch in
                    let adapter = scratch.appending(path: "adapter")
                    try FileManager.default.createDirectory(at: adapter, withIntermediateDirectories: true)
                    let config: JSON = ["peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "m"]
                    try config.data.write(to: adapter.appending(path: "adapter_config.json"))
                    let write = { (layer: String) in
                        let name = "base_model.model." + layer
                        try SafeTensors.write(
                            [
                                (name + ".lora_A.weight", try Tensor.zeros([2, 32])),
                                (name + ".lora_B.weight", try Tensor.zeros([48, 2])),
                            ], to: adapter.appending(path: "adapter_model.safetensors").path)
                    }
                    try write(prefix + "layers.1.self_attn.q_proj")
                    let report = try ModelImport.run(
                        from: adapter, to: scratch.appending(path: "bundle"), base: base)
                    #expect(report.isAdapter && report.architecture == "MistralForCausalLM")
                    try write("model.vision_tower.transformer.layers.0.attention.q_proj")
                    expectFault(.invalidRequest, ["vision_tower", "not for this base"]) {
                        _ = try ModelImport.run(from: adapter, to: scratch.appending(path: "other"), base: base)
                    }
                }
            }
        }
    }

    /// The config.json of google/gemma-3-4b-it, as it is found.
    private static let gemma4B: JSONObject = [
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255_999, "eoi_token_index": 256_000,
        "eos_token_id": [1, 106], "image_token_index": 262_144, "initializer_range": 0.02,
        "mm_tokens_per_image": 256, "model_type": "gemma3",
        "text_config": [
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
            "rope_scaling": ["factor": 8.0, "rope_type": "linear"], "sliding_window": 1024,
        ], "torch_dtype": "bfloat16", "vision_config": ["model_type": "siglip_vision_model"],
    ]

    @Test func `keys that a config leaves out are those of transformers' class`() throws {
        try LanguageGolden("wrapped-gemma3").withFolder { folder in
            try JSON.object(Self.gemma4B).data.write(to: folder.appending(path: "config.json"))
            let target = folder.appending(path: "bundle")
            expectFault(.invalidData, ["model.embed_tokens.weight", "[262208, 2560]"]) {
                _ = try ModelImport.run(from: folder, to: target)
            }
            #expect(!FileManager.default.fileExists(atPath: target.path))
        }
    }

    @Test func `what is missing or not supported is named`() throws {
        let cases: [(String, MartletError.Code, [String], (inout JSONObject) -> Void)] = [
            ("wrapped-llava", .invalidData, ["'text_config'"], { $0["text_config"] = nil }),
            (
                "wrapped-llava", .unsupportedFormat, ["\"mamba\"", "LlavaForConditionalGeneration"],
                { $0["text_config"] = ["model_type": "mamba"] }
            ),
            (
                "wrapped-mistral3", .unsupportedFormat, ["quantization_config", "fp8"],
                { $0["quantization_config"] = ["quant_method": "fp8"] }
            ),
            ("wrapped-gemma3", .invalidData, ["lm_head.weight"], { $0["tie_word_embeddings"] = false }),
            (
                "wrapped-llava", .unsupportedFormat, ["Idefics3", "LlavaForConditionalGeneration"],
                { $0["architectures"] = ["Idefics3ForConditionalGeneration"] }
            ),
        ]
        for (name, code, parts, change) in cases {
            try LanguageGolden(name).withFolder { folder in
                try Self.edit(folder, change)
                expectFault(code, parts) {
                    _ = try ModelImport.run(from: folder, to: folder.appending(path: "bundle"))
                }
            }
        }
        // Both spellings at once.
        let golden = try LanguageGolden("wrapped-llava")
        try golden.withFolder { folder in
            let head = "lm_head.weight"
            let more = try golden.weights().filter { $0.0 == head }.map { ("language_model." + head, $0.1) }
            try SafeTensors.write(
                golden.weights() + more, to: folder.appending(path: "model.safetensors").path)
            expectFault(.invalidData, [head, "language_model." + head]) {
                _ = try ModelImport.run(from: folder, to: folder.appending(path: "bundle"))
            }
        }
    }
}
