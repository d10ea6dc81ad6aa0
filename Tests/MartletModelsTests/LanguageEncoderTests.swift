import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// Encoders, and encoders with decoders, give what transformers gives with the same config and weights.
@Suite struct LanguageEncoderTests {
    private static let texts = [(5, 0), (23, 100), (60, 40), (1, 70), (17, 3), (300, 20)]

    private static func text(_ length: Int, _ start: Int) -> [Int] {
        Array(LanguageGolden.prompt(start + length).dropFirst(start))
    }

    static let encoders = [
        "bert", "bert-masked", "bert-classes", "bert-answers", "roberta", "roberta-classes", "xlm-roberta-answers",
    ]

    @Test(arguments: encoders) func `texts side by side give what each gives alone in transformers`(
        _ name: String
    ) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let bundle = try golden.withFolder { try EncoderBundle.load($0) }
            let model = bundle.model
            let (forward, lengths) = (Forward.inference(), Self.texts.map(\.0))
            let tokens = Self.texts.flatMap { Self.text($0.0, $0.1) }
            let types = lengths.flatMap { Array(repeating: 0, count: $0 / 2) + Array(repeating: 1, count: $0 - $0 / 2) }
            let hidden = try model.hidden(
                Tensor(tokens, shape: [tokens.count]),
                types: name.contains("roberta") ? nil : Tensor(types, shape: [types.count]), lengths: lengths, forward)
            let parts = try hidden.split(lengths)
            for (index, part) in parts.enumerated() {
                let expected = try golden.expected.tensor("hidden/\(index)")
                let last = try part.narrow(0, from: part.size(0) - expected.size(0), length: expected.size(0))
                #expect(try difference(last, expected) <= 1e-4, "\(name), text \(index)")
                let check = { (key: String, found: () throws -> Tensor) in
                    guard golden.expected.entry("\(key)/\(index)") != nil else { return }
                    let worst = try difference(found(), golden.expected.tensor("\(key)/\(index)"))
                    #expect(worst <= 1e-4, "\(name), \(key) of text \(index)")
                }
                try check("pooler_output") { try model.pooled(hidden, lengths: lengths, forward).select(0, index) }
                try check("logits") { try model.classify(hidden, lengths: lengths, forward).select(0, index) }
                try check("start_logits") { try model.answers(part, forward).select(1, 0) }
                try check("end_logits") { try model.answers(part, forward).select(1, 1) }
            }
            #expect(try model.pool(hidden, lengths: lengths, .mean).shape == [Self.texts.count, 60])
        }
    }

    @Test(arguments: encoders + ["t5", "umt5"]) func `an import knows what the model does`(_ name: String) throws {
        try LanguageGolden(name).withFolder { folder in
            let target = folder.appending(path: "bundle")
            let report = try onCompute { try ModelImport.run(from: folder, to: target) }
            let tasks = [
                "bert": "embed", "bert-masked": "embed", "bert-classes": "classify", "bert-answers": "answer",
                "roberta": "embed", "roberta-classes": "classify", "xlm-roberta-answers": "answer",
                "t5": "translate", "umt5": "translate",
            ]
            #expect(report.task == tasks[name])
            #expect(report.findings.contains { $0.contains("masked words") } == (name == "bert-masked"))
        }
    }

    @Test(arguments: [("bert", "BertModel"), ("roberta", "RobertaModel"), ("t5", "T5ForConditionalGeneration")])
    func `a config that names no class is known by its type`(_ name: String, _ architecture: String) throws {
        try LanguageGolden(name).withFolder { folder in
            let file = folder.appending(path: "config.json")
            var config = try #require(JSONParser.parse(Data(contentsOf: file)).object)
            config["architectures"] = nil
            try JSON.object(config).data.write(to: file)
            let report = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "bundle")) }
            #expect(report.architecture == architecture)
            config["model_type"] = "albert"
            try JSON.object(config).data.write(to: file)
            expectFault(.unsupportedFormat, ["albert", architecture]) {
                _ = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "no")) }
            }
        }
    }

    @Test func `pooling is read as sentence-transformers writes it`() throws {
        try LanguageGolden("bert").withFolder { folder in
            let pooling = folder.appending(path: "1_Pooling")
            try FileManager.default.createDirectory(at: pooling, withIntermediateDirectories: true)
            let config: JSON = ["pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false]
            try config.data.write(to: pooling.appending(path: "config.json"))
            let steps: JSON = [["type": "sentence_transformers.models.Normalize", "path": "2_Normalize"]]
            try steps.data.write(to: folder.appending(path: "modules.json"))
            let target = folder.appending(path: "bundle")
            let found = try onCompute {
                _ = try ModelImport.run(from: folder, to: target)
                let bundle = try EncoderBundle.load(target)
                return (bundle.pooling, bundle.normalizes)
            }
            #expect(found == (.first, true))
        }
    }

    /// A step that is left out would give other vectors without a word.
    @Test(arguments: [
        (#"[{"type":"sentence_transformers.models.Dense"}]"#, #"{"pooling_mode_cls_token":true}"#, "Dense"),
        ("[]", #"{"pooling_mode_weightedmean_tokens":true}"#, "weightedmean"),
        ("[]", #"{"pooling_mode":"weightedmean"}"#, "weightedmean"),
    ]) func `embeddings that cannot be made as the folder says are refused at the import`(
        _ steps: String, _ config: String, _ part: String
    ) throws {
        try LanguageGolden("bert").withFolder { folder in
            let pooling = folder.appending(path: "1_Pooling")
            try FileManager.default.createDirectory(at: pooling, withIntermediateDirectories: true)
            try Data(config.utf8).write(to: pooling.appending(path: "config.json"))
            try Data(steps.utf8).write(to: folder.appending(path: "modules.json"))
            let target = folder.appending(path: "bundle")
            expectFault(.unsupportedFormat, [part]) {
                _ = try onCompute { try ModelImport.run(from: folder, to: target) }
            }
            #expect(!FileManager.default.fileExists(atPath: target.path))
            try Data(#"{"pooling_mode":"lasttoken"}"#.utf8).write(to: pooling.appending(path: "config.json"))
            try Data("[]".utf8).write(to: folder.appending(path: "modules.json"))
            #expect(try onCompute { try EncoderBundle.load(folder).pooling } == .last)
        }
    }

    @Test func `a writing model's pooling is read, and one that there is not is told`() throws {
        try LanguageGolden("llama").withFolder { folder in
            let pooling = folder.appending(path: "1_Pooling")
            try FileManager.default.createDirectory(at: pooling, withIntermediateDirectories: true)
            for (name, kind) in [
                ("pooling_mode_lasttoken", TextEncoder.Pooling.last), ("pooling_mode_max_tokens", .max),
            ] {
                try JSON.object([name: true]).data.write(to: pooling.appending(path: "config.json"))
                let target = folder.appending(path: name)
                let (report, bundle) = try onCompute {
                    (try ModelImport.run(from: folder, to: target), try LanguageBundle.load(target).pooling)
                }
                #expect(try report.task == "generate" && report.findings == [Self.noTokenizer] && bundle.get() == kind)
            }
            try Data(#"{"pooling_mode_weightedmean_tokens":true}"#.utf8)
                .write(to: pooling.appending(path: "config.json"))
            let target = folder.appending(path: "bundle")
            let (report, bundle) = try onCompute {
                (try ModelImport.run(from: folder, to: target), try LanguageBundle.load(target).pooling)
            }
            #expect(report.findings.contains { $0.contains("weightedmean") && $0.contains("no vectors") })
            #expect(throws: MartletError.self) { try bundle.get() }
        }
    }

    private static let noTokenizer = "there is no tokenizer.json: the model takes and gives token ids only"

    @Test(arguments: ["t5", "t5-gated", "t5-buckets", "mt5", "umt5", "umt5-untied"])
    func `an answer's scores and its greedy course are those of transformers`(
        _ name: String
    ) throws {
        try onCompute {
            let golden = try LanguageGolden(name)
            let model = try golden.withFolder { try T5.load($0) }
            let forward = Forward.inference()
            for (index, (length, start)) in Self.texts.enumerated() {
                let memory = try model.encode(Tensor(Self.text(length, start), shape: [1, length]), forward)
                let answer = [0] + Self.text(59, 7)
                let logits = try model.decode(Tensor(answer, shape: [1, 60]), memory: memory, forward)
                let last = try logits.select(0, 0).narrow(0, from: 57, length: 3)
                let worst = try difference(last, golden.expected.tensor("logits/\(index)"))
                #expect(worst <= 1e-4, "\(name), text \(index)")
            }
            let memory = try model.encode(Tensor(Self.text(23, 100), shape: [1, 23]), forward)
            var tokens = [model.startToken]
            for _ in 0..<64 {
                let logits = try model.decode(Tensor(tokens, shape: [1, tokens.count]), memory: memory, forward)
                tokens.append(try logits.select(0, 0).select(0, tokens.count - 1).argmax().intItem())
            }
            #expect(try Array(tokens.dropFirst()) == golden.expected.tensor("greedy").array(of: Int.self))
        }
    }

    @Test(arguments: ["t5", "t5-gated", "t5-buckets", "mt5", "umt5", "umt5-untied"])
    func `answers with their caches are those without`(_ name: String)
        throws
    {
        try onCompute {
            let golden = try LanguageGolden(name)
            let model = try golden.withFolder { try T5.load($0) }
            try model.setTrainable(false)
            let text = { (length: Int, start: Int) in Self.text(length, start).map { Int32($0) } }
            try Tensor.inference {
                let answer = [0] + text(59, 7)
                // In one pass, in parts, and token by token; all texts side by side.
                for size in [60, 23, 1] {
                    let answers = try Self.texts.map { T5.Answer(try model.source(text($0.0, $0.1))) }
                    var last: [[Tensor]] = answers.map { _ in [] }
                    for start in stride(from: 0, to: answer.count, by: size) {
                        let part = Array(answer[start..<min(start + size, answer.count)])
                        let hidden = try model.hidden(answers.map { (part, $0) })
                        let rows = try model.logits(hidden, .inference()).split(answers.map { _ in part.count })
                        for (index, row) in rows.enumerated() { last[index].append(row) }
                    }
                    for (index, parts) in last.enumerated() {
                        let logits = try Tensor.cat(parts).narrow(0, from: 57, length: 3)
                        let worst = try difference(logits, golden.expected.tensor("logits/\(index)"))
                        #expect(worst <= 1e-4, "\(name), text \(index), \(size) at a time")
                    }
                }
                // What was forgotten is computed anew, also where the room was taken before.
                let cached = T5.Answer(try model.source(text(23, 100)))
                _ = try model.hidden([(text(70, 3), cached)])
                cached.cut(to: 0)
                var tokens = [Int32(model.startToken)]
                for _ in 0..<64 {
                    let hidden = try model.hidden([([tokens[tokens.count - 1]], cached)])
                    tokens.append(Int32(try model.logits(hidden, .inference()).select(0, 0).argmax().intItem()))
                }
                let expected = try golden.expected.tensor("greedy").array(of: Int.self)
                #expect(tokens.dropFirst().map { Int($0) } == expected && expected.count == 64)
            }
        }
    }

    /// A gated layer is what later models have where their config says nothing; and a key of the first one's is not read.
    @Test func `what a UMT5's config leaves out is as its class has it`() throws {
        try LanguageGolden("umt5").withFolder { folder in
            let file = folder.appending(path: "config.json")
            var config = try #require(JSONParser.parse(Data(contentsOf: file)).object)
            for key in ["feed_forward_proj", "is_gated_act", "dense_act_fn"] { config[key] = nil }
            config["scale_decoder_outputs"] = false
            try JSON.object(config).data.write(to: file)
            try onCompute {
                let (model, forward) = (try T5.load(folder), Forward.inference())
                let memory = try model.encode(Tensor(Self.text(5, 0), shape: [1, 5]), forward)
                let answer = [0] + Self.text(59, 7)
                let logits = try model.decode(Tensor(answer, shape: [1, 60]), memory: memory, forward)
                let last = try logits.select(0, 0).narrow(0, from: 57, length: 3)
                #expect(try difference(last, LanguageGolden("umt5").expected.tensor("logits/0")) <= 1e-4)
            }
        }
    }

    /// Whoever asks for a sign of life while a long source is read gets it there.
    @Test func `L07: each layer that begins is told`() throws {
        try onCompute {
            let model = try LanguageGolden("t5").withFolder { try T5.load($0) }
            var begun = 0
            let source = try Tensor.inference { try model.source([9, 17, 5]) { begun += 1 } }
            #expect(begun == 2)
            let answer = T5.Answer(source)
            _ = try Tensor.inference { try model.hidden([([0], answer)]) { begun += 1 } }
            #expect(begun == 2 + 3)
        }
    }

    @Test func `a T5 is imported with what older files hold beside it, and not with an impossible length`() throws {
        try LanguageGolden("t5").withFolder { folder in
            let file = folder.appending(path: "model.safetensors")
            try onCompute {
                let stored = try SafeTensors(path: file.path)
                let extra = [
                    ("encoder.embed_tokens.weight", try stored.tensor("shared.weight")),
                    (
                        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
                        try Tensor.zeros([16, 4])
                    ),
                ]
                let all = try stored.names.map { ($0, try stored.tensor($0)) } + extra
                try SafeTensors.write(all, to: file.path)
            }
            let report = try onCompute {
                try ModelImport.run(from: folder, to: folder.appending(path: "bundle"))
            }
            #expect(report.task == "translate" && report.contextLength == 512)
            let config = folder.appending(path: "config.json")
            var object = try #require(JSONParser.parse(Data(contentsOf: config)).object)
            object["n_positions"] = 1_000_000_000
            try JSON.object(object).data.write(to: config)
            let long = try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "long")) }
            #expect(long.contextLength == T5.lengthLimit)
            for number: JSON in [0, -1, "512", 1.5] {
                object["n_positions"] = number
                try JSON.object(object).data.write(to: config)
                #expect {
                    try onCompute { try ModelImport.run(from: folder, to: folder.appending(path: "no")) }
                } throws: { ($0 as? MartletError)?.message.contains("n_positions") == true }
            }
        }
    }

    @Test func `a padded source gives what the source gives alone`() throws {
        try onCompute {
            let model = try LanguageGolden("t5").withFolder { try T5.load($0) }
            let forward = Forward.inference()
            let (source, answer) = (Self.text(11, 3), try Tensor([0, 9, 17], shape: [1, 3]))
            let alone = try model.decode(
                answer, memory: model.encode(Tensor(source, shape: [1, 11]), forward), forward)
            let mask = try Tensor((0..<20).map { $0 < 11 }, shape: [1, 20])
            let memory = try model.encode(
                Tensor(source + Array(repeating: 5, count: 9), shape: [1, 20]), mask: mask, forward)
            let padded = try model.decode(answer, memory: memory, memoryMask: mask, forward)
            #expect(try difference(alone, padded) < 1e-5)
        }
    }
}
