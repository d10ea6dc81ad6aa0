import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletText
import MartletWire
import Testing

/// Folders of Hugging Face's form are read whole, and what is wrong with one is named before anything is written.
@Suite struct LanguageImportTests {
    /// Splits a folder's weights in two files with an index.
    private static func shard(_ folder: URL, change: (inout [String: JSON]) -> Void = { _ in }) throws {
        let whole = folder.appending(path: "model.safetensors")
        let tensors = try SafeTensors(path: whole.path).tensors()
        try FileManager.default.removeItem(at: whole)
        var map: [String: JSON] = [:]
        for (part, half) in [tensors.prefix(5), tensors.dropFirst(5)].enumerated() {
            let name = "model-0000\(part + 1)-of-00002.safetensors"
            try SafeTensors.write(Array(half), to: folder.appending(path: name).path)
            for (tensor, _) in half { map[tensor] = .string(name) }
        }
        change(&map)
        let index: JSON = ["metadata": ["total_size": 1], "weight_map": .object(JSONObject(map.map { ($0, $1) }))]
        try index.data.write(to: folder.appending(path: "model.safetensors.index.json"))
    }

    private static func edit(_ folder: URL, _ change: (inout JSONObject) -> Void) throws {
        let url = folder.appending(path: "config.json")
        var config = try #require(JSONParser.parse(Data(contentsOf: url)).object)
        change(&config)
        try JSON.object(config).data.write(to: url)
    }

    @Test func `a sharded folder is imported, loads, and gives the same logits`() throws {
        try onCompute {
            let golden = try LanguageGolden("llama")
            let plain = try golden.withFolder { try LanguageBundle.load($0).model }
            try golden.withFolder { folder in
                try Self.shard(folder)
                try withScratch { scratch in
                    let target = scratch.appending(path: "bundle")
                    let report = try ModelImport.run(from: folder, to: target)
                    #expect(report.architecture == "LlamaForCausalLM")
                    #expect(report.parameterCount == 78_528)
                    #expect(report.types == ["float32"])
                    let model = try LanguageBundle.load(target).model
                    let tokens = LanguageGolden.prompt(17)
                    #expect(try difference(plain.logits(of: tokens, rows: 3), model.logits(of: tokens, rows: 3)) == 0)
                }
            }
        }
    }

    @Test(arguments: [ScalarType.float16, .bfloat16]) func `half precision is read as it was stored`(
        _ type: ScalarType
    ) throws {
        try onCompute {
            let golden = try LanguageGolden("qwen2")
            try golden.withFolder { folder in
                let halved = try golden.weights().map { ($0.0, try $0.1.to(type)) }
                try SafeTensors.write(halved, to: folder.appending(path: "model.safetensors").path)
                let state = Dictionary(
                    uniqueKeysWithValues: try LanguageBundle.load(folder).model.state().map { ($0.0, $0.1) })
                for (name, tensor) in halved {
                    let found = try #require(state[name])
                    #expect(found.scalarType == .float32)
                    #expect(try found.equals(tensor.to(.float32)), "\(name)")
                }
            }
        }
    }

    @Test func `an index cannot name what is not in the folder`() throws {
        for (name, parts) in [
            ("../evil.safetensors", ["same folder"]), ("/etc/passwd", ["same folder"]),
            ("model.bin", ["same folder"]), ("gone.safetensors", ["gone.safetensors", "not in the folder"]),
            ("model-00002-of-00002.safetensors", ["lm_head.weight", "not there"]),
        ] {
            try LanguageGolden("llama").withFolder { folder in
                try Self.shard(folder) { $0["lm_head.weight"] = .string(name) }
                expectFault(.invalidData, parts) { _ = try WeightFiles(folder: folder) }
            }
        }
    }

    @Test func `a folder without a config is told as one`() throws {
        try onCompute {
            try LanguageGolden("llama").withFolder { folder in
                try FileManager.default.removeItem(at: folder.appending(path: "config.json"))
                #expect {
                    _ = try ModelFolder(folder)
                } throws: { error in
                    (error as? MartletError)?.message.hasSuffix("has no config.json") == true
                }
            }
        }
    }

    @Test func `a truncated shard is refused`() throws {
        try LanguageGolden("llama").withFolder { folder in
            try Self.shard(folder)
            let url = folder.appending(path: "model-00002-of-00002.safetensors")
            try Data(contentsOf: url).dropLast(64).write(to: url)
            expectFault(.invalidData, ["model-00002-of-00002.safetensors"]) { _ = try LanguageBundle.load(folder) }
        }
    }

    @Test func `weights in pickles are refused by name`() throws {
        for name in ["pytorch_model.bin", "model.pt", "weights.pkl"] {
            try LanguageGolden("llama").withFolder { folder in
                try FileManager.default.moveItem(
                    at: folder.appending(path: "model.safetensors"), to: folder.appending(path: name))
                expectFault(.unsupportedFormat, [name, "safetensors"]) { _ = try LanguageBundle.load(folder) }
            }
        }
    }

    @Test func `M11: code that a config names is not run but reported`() throws {
        try LanguageGolden("llama").withFolder { folder in
            try Self.edit(folder) {
                $0["auto_map"] = ["AutoModelForCausalLM": "modeling_evil.Evil"]
                $0["trust_remote_code"] = true
            }
            let findings = try ModelFolder(folder).findings
            #expect(findings.count == 2)
            #expect(findings.allSatisfy { $0.contains("not run") })
            _ = try LanguageBundle.load(folder)
        }
    }

    /// Angles that change with the length cannot be computed piece by piece, whichever layers have them.
    @Test(arguments: [("full_attention", 64), ("sliding_attention", 64), ("of no layer", 512)])
    func `texts are as long as the angles of all layers allow`(_ layers: String, _ length: Int) throws {
        try LanguageGolden("gemma3").withFolder { folder in
            try Self.edit(folder) { config in
                var rotary = config["rope_parameters"]?.object ?? [:]
                let factors = (1...8).map { JSON.double(Double($0)) }
                rotary[layers] = [
                    "rope_type": "longrope", "short_factor": .array(factors),
                    "long_factor": .array(factors.reversed()), "original_max_position_embeddings": 64,
                ]
                config["rope_parameters"] = .object(rotary)
            }
            let report = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "bundle")) }
            #expect(report.contextLength == length)
        }
    }

    @Test func `what is not supported is refused by its name`() throws {
        let cases: [(String, JSON, String)] = [
            ("architectures", ["MambaForCausalLM"], "MambaForCausalLM"),
            ("quantization_config", ["quant_method": "gptq"], "gptq"), ("hidden_act", "xielu", "xielu"),
            ("rope_parameters", ["rope_type": "proportional", "rope_theta": 10000], "proportional"),
        ]
        for (key, value, part) in cases {
            try LanguageGolden("llama").withFolder { folder in
                try Self.edit(folder) { $0[key] = value }
                expectFault(.unsupportedFormat, [part]) { _ = try LanguageBundle.load(folder) }
            }
        }
    }

    @Test func `a config that does not fit is refused before memory is taken`() throws {
        let cases: [(String, JSON, String)] = [
            ("hidden_size", 1_000_000_000, "shape"), ("num_hidden_layers", 1_000_000_000, "num_hidden_layers"),
            ("vocab_size", -1, "vocab_size"), ("num_attention_heads", 3, "num_key_value_heads"),
            ("head_dim", 536_870_912, "too many"), ("num_hidden_layers", 3, "model.layers.2"),
            ("num_hidden_layers", 1, "model.layers.1"), ("intermediate_size", "many", "intermediate_size"),
            ("vocab_size", 130, "shape"), ("rms_norm_eps", "x", "rms_norm_eps"), ("rms_norm_eps", -1, "rms_norm_eps"),
        ]
        for (key, value, part) in cases {
            try LanguageGolden("llama").withFolder { folder in
                try Self.edit(folder) { $0[key] = value }
                expectFault(.invalidData, [part]) { _ = try LanguageBundle.load(folder) }
            }
        }
    }

    @Test func `a tokenizer of another model is refused`() throws {
        try LanguageGolden("llama").withFolder { folder in
            let tokenizer: JSON = [
                "model": ["type": "BPE", "vocab": ["a": 0, "b": 1]],
                "added_tokens": [["id": 131, "content": "<|end|>"]],
            ]
            try tokenizer.data.write(to: folder.appending(path: "tokenizer.json"))
            try withScratch { scratch in
                let target = scratch.appending(path: "bundle")
                expectFault(.invalidData, ["<|end|>", "131"]) { _ = try ModelImport.run(from: folder, to: target) }
                #expect(!FileManager.default.fileExists(atPath: target.path))
            }
        }
    }

    @Test func `numbers that would take all memory, or wrap, are refused before they do`() throws {
        try LanguageGolden("mixtral").withFolder { folder in
            try Self.edit(folder) {
                $0["num_local_experts"] = 4096
                $0["num_hidden_layers"] = 2000
            }
            expectFault(.invalidData, ["4096 experts in 2000 layers"]) { _ = try LanguageBundle.load(folder) }
        }
        try LanguageGolden("roberta").withFolder { folder in
            try Self.edit(folder) { $0["pad_token_id"] = .int(.max) }
            expectFault(.invalidData, ["pad_token_id"]) { _ = try EncoderBundle.load(folder) }
        }
        let pieces = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
            .appending(path: "sentencepiece").appending(path: "spiece.model")
        try LanguageGolden("t5").withFolder { folder in
            try FileManager.default.copyItem(at: pieces, to: folder.appending(path: "spiece.model"))
            try Self.edit(folder) { $0["vocab_size"] = .int(1 << 60) }
            try (["extra_ids": .int(1 << 50)] as JSON).data.write(to: folder.appending(path: "tokenizer_config.json"))
            expectFault(.invalidData, ["extra_ids"]) {
                _ = try ModelImport.run(from: folder, to: folder.appending(path: "bundle"))
            }
        }
    }

    /// The sign for ohm and the letter omega, and é in one scalar and in two: `String` calls each pair equal.
    @Test func `tokens that Unicode calls equal are tokens of their own`() throws {
        try LanguageGolden("llama").withFolder { folder in
            let file = folder.appending(path: "tokenizer.json")
            func write(last: Int) throws {
                let vocabulary = ["\u{2126}", "\u{3A9}", "\u{E9}", "e\u{301}"].enumerated()
                    .map { "\"\($1)\":\($0 < 3 ? $0 : last)" }.joined(separator: ",")
                try Data(#"{"model":{"type":"BPE","vocab":{\#(vocabulary)},"merges":[]}}"#.utf8).write(to: file)
            }
            try write(last: 3)
            let target = folder.appending(path: "bundle")
            #expect(try onCompute { try ModelImport.run(from: folder, to: target) }.hasTokenizer)
            let tokenizer = try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
            #expect(try tokenizer.encode("\u{2126}\u{3A9}\u{E9}").ids == [0, 1, 2])
            try write(last: 131)
            expectFault(.invalidData, ["'e\u{301}'", "131"]) {
                _ = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "no")) }
            }
        }
    }

    @Test(arguments: [
        (#"{"model":{"vocab":{"a":-1}}}"#, "'a'"), (#"{"model":{"vocab":{"a":"0"}}}"#, "'a'"),
        (#"{"model":{"vocab":{}},"added_tokens":[{"content":"b","id":1.5}]}"#, "'b'"),
        (#"{"model":{"vocab":7}}"#, "no vocabulary"), (#"{"model":"#, "early"), ("[]", "no vocabulary"),
    ]) func `a damaged tokenizer is refused before anything is written`(_ text: String, _ part: String) throws {
        try LanguageGolden("llama").withFolder { folder in
            try Data(text.utf8).write(to: folder.appending(path: "tokenizer.json"))
            let target = folder.appending(path: "bundle")
            expectFault(.invalidData, [part]) {
                _ = try onCompute { try ModelImport.run(from: folder, to: target) }
            }
            #expect(!FileManager.default.fileExists(atPath: target.path))
        }
    }

    /// A T5 with SentencePiece's file alone: the marks for gaps and the end are where transformers puts them.
    @Test func `a T5 with a SentencePiece file alone cuts texts as transformers does`() throws {
        let pieces = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
            .appending(path: "sentencepiece")
        let expected = try JSONParser.parse(Data(contentsOf: pieces.appending(path: "expected.json")))
        try LanguageGolden("t5").withFolder { folder in
            try FileManager.default.copyItem(
                at: pieces.appending(path: "spiece.model"), to: folder.appending(path: "spiece.model"))
            let target = folder.appending(path: "bundle")
            let report = try onCompute { try ModelImport.run(from: folder, to: target) }
            #expect(report.hasTokenizer && report.findings.contains { $0.contains("SentencePiece") })
            let made = try Data(contentsOf: target.appending(path: "tokenizer.json"))
            let tokenizer = try Tokenizer(json: made)
            #expect(tokenizer.vocabularySize == 131 && tokenizer.id(of: "<extra_id_0>") == 130)
            let texts = try #require(expected["texts"]?.array)
            #expect(texts.count > 10)
            for sample in texts {
                let text = try #require(sample["text"]?.string)
                let ids = try tokenizer.encode(text).ids
                #expect(ids == sample["ids"]?.array?.compactMap(\.int), "\(text)")
                #expect(tokenizer.decode(ids) == sample["decoded"]?.string, "\(text)")
                let pair = try tokenizer.encode(text, pair: "and").ids
                #expect(pair == sample["pair"]?.array?.compactMap(\.int), "\(text)")
            }
        }
    }

    @Test func `tokens behind SentencePiece's pieces are numbered without a gap, or refused`() throws {
        let pieces = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
            .appending(path: "sentencepiece").appending(path: "spiece.model")
        try LanguageGolden("llama").withFolder { folder in
            try FileManager.default.copyItem(at: pieces, to: folder.appending(path: "tokenizer.model"))
            let settings = folder.appending(path: "tokenizer_config.json")
            func write(_ id: Int) throws {
                let token: JSON = ["content": "<|user|>", "special": true, "normalized": false]
                let added: JSON = .object(["1": ["content": "</s>", "special": true], "\(id)": token])
                try (["add_eos_token": true, "added_tokens_decoder": added] as JSON).data.write(to: settings)
            }
            try write(31)
            let target = folder.appending(path: "bundle")
            let report = try onCompute { try ModelImport.run(from: folder, to: target) }
            #expect(report.hasTokenizer)
            let tokenizer = try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
            let ids = try tokenizer.encode("<|user|>the").ids
            #expect(ids.first == 31 && ids.last == 1 && ids.count > 2)
            #expect(tokenizer.decode(ids) == "the")
            try write(33)
            expectFault(.invalidData, ["<|user|>", "33", "31"]) {
                _ = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "no")) }
            }
            // A file of another kind has the name at times.
            try FileManager.default.removeItem(at: settings)
            try Data("IQ== 0\nIg== 1\n".utf8).write(to: folder.appending(path: "tokenizer.model"))
            let other = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "other")) }
            #expect(!other.hasTokenizer)
        }
    }

    @Test func `templates are found where models keep them`() throws {
        try LanguageGolden("llama").withFolder { folder in
            let list: JSON = [
                "chat_template": [
                    ["name": "default", "template": "one"], ["name": "tool_use", "template": "two"],
                ]
            ]
            try list.data.write(to: folder.appending(path: "tokenizer_config.json"))
            #expect(try ModelFolder(folder).namedTemplates == ["default": "one", "tool_use": "two"])
            try Data("three".utf8).write(to: folder.appending(path: "chat_template.jinja"))
            #expect(try ModelFolder(folder).chatTemplate == "three")
        }
    }
}
