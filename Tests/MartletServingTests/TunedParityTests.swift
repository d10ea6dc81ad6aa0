import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletTraining
import MartletWire
import Testing

/// A tuned model is published only where serving, from its files to its paged cache, computes what training computed.
@Suite struct TunedParityTests {
    private static let tiny = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/tiny-llama").path
    private static let compute = ComputeThread()

    /// The path that martlet-engine gives its jobs, after `change` was done to the bundle.
    private static func path(_ change: @escaping @Sendable (String) throws -> Void = { _ in }) -> ServingPath {
        ServingPath { bundle, base, format in
            try change(bundle)
            let folder = URL(filePath: bundle)
            let probe = try LanguageProbe(
                bundle: base.map { URL(filePath: $0) } ?? folder, adapter: base == nil ? nil : folder, format: format)
            return ServingPath.Model(format: probe.format.rawValue) {
                try probe.logits([$0.map { Int32($0) }], partTokens: 48)[0]
            }
        }
    }

    private static func tune(
        _ kind: String, _ folder: String, _ serving: ServingPath, base: String = tiny, steps: Int = 8
    ) throws -> JobResult {
        let lines = (0..<12).map { index in
            """
            {"messages": [{"role": "user", "content": "the tree \(index) in the wind"}, \
            {"role": "assistant", "content": "the swift \(String(repeating: "an ", count: index * 3))inn"}]}
            """
        }
        let file = folder + "/lines.jsonl"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: file))
        let tree = try RecipeReader.read(
            text: """
                name: tuned
                base: tiny
                \(kind)
                data: {source: {train: lines.jsonl, validation: lines.jsonl}}
                training: {steps: \(steps), batch_size: 4, optimizer: {learning_rate: 0.01}}
                """, file: "recipe.yaml"
        ).tree
        let task = TrainTask(
            jobID: "job", recipe: tree,
            datasets: [DatasetMount(reference: "lines.jsonl", resolved: "lines@1", contentHash: "h", path: file)],
            base: BaseModel(reference: "tiny@1", contentHash: "b", path: base), directory: folder + "/job",
            share: MachineShare(threads: 1))
        return try compute.run {
            let link = JobLink(event: { _ in }, progress: { _ in }, stop: { nil })
            guard case .finished(let result) = try TrainJob(task, link: link, serving: serving).run() else {
                throw MartletError(.internal, "the job did not finish")
            }
            return result
        }
    }

    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "parity-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body(folder)
    }

    static let kinds = [
        "full": "", "lora": "adapter: {rank: 4}", "int8": "adapter: {rank: 4, base_precision: int8}",
        "dpo-like targets": "adapter: {rank: 2, targets: [q_proj, down_proj]}",
    ]

    @Test(arguments: kinds.keys.sorted()) func `what is published answers as it was trained`(kind: String) throws {
        try Self.withFolder { folder in
            let card = try #require(try Self.tune(Self.kinds[kind] ?? "", folder, Self.path()).card)
            #expect(try #require(card.parity?["float32"]) <= 1e-4)
            // The format that is served by default has an error of its own, and it was measured.
            let others = (card.parity ?? [:]).filter { $0.key != "float32" }
            #expect(others.count == 1 && others.values.allSatisfy { $0 > 0 && $0 < 1 }, "\(others)")
            #expect(card.hashes?["base"] == "b" && card.hashes?["tokenizer"] != nil && card.hashes?["template"] != nil)
            #expect(FileManager.default.fileExists(atPath: folder + "/job/bundle/card.json"))
            #expect(!FileManager.default.fileExists(atPath: folder + "/job/candidate"))
        }
    }

    @Test func `a whole model keeps the way that its base makes vectors`() throws {
        try Self.withFolder { folder in
            let base = URL(filePath: folder).appending(path: "base")
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try FileManager.default.copyItem(at: URL(filePath: Self.tiny), to: base)
            try FileManager.default.createDirectory(
                at: base.appending(path: "1_Pooling"), withIntermediateDirectories: true)
            try Data(#"{"pooling_mode_lasttoken": true}"#.utf8)
                .write(to: base.appending(path: "1_Pooling/config.json"))
            _ = try Self.tune("", folder, Self.path(), base: base.path, steps: 2)
            let pooling = try Self.compute.run {
                try LanguageBundle.load(URL(filePath: folder + "/job/bundle")).pooling.get()
            }
            #expect(pooling == .last)
        }
    }

    /// Architectures whose layers differ: packed queries, exchanged weights, caps, windows, experts, shared embeddings.
    static let architectures = ["gemma2", "gpt2", "mixtral", "phi3", "qwen2-window", "qwen3", "llama-tied-bias"]

    @Test(arguments: architectures, ["", "adapter: {rank: 2}"])
    func `every architecture is tuned and served alike`(name: String, kind: String) throws {
        try Self.withFolder { folder in
            let base = URL(filePath: folder).appending(path: "base")
            try FileManager.default.createDirectory(at: base, withIntermediateDirectories: true)
            try Self.compute.run {
                let tests = URL(filePath: Self.tiny).deletingLastPathComponent().deletingLastPathComponent()
                let file = tests.appending(path: "MartletModelsTests/Golden/language/\(name)/config.json")
                var config = try #require(try JSONParser.parse(Data(contentsOf: file)).object)
                config["vocab_size"] = 263
                config["eos_token_id"] = 262
                let model = try LanguageModelCatalog.make(config: .object(config))
                try model.initialize(seed: 7)
                try LanguageBundle.save(model, config: .object(config), to: base)
            }
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                try FileManager.default.copyItem(atPath: "\(Self.tiny)/\(name)", toPath: base.path + "/\(name)")
            }
            let card = try #require(try Self.tune(kind, folder, Self.path(), base: base.path, steps: 2).card)
            #expect(try #require(card.parity?["float32"]) <= 1e-4)
        }
    }

    /// A model of an architecture that recipes train from texts.
    private static func train(
        _ architecture: String, _ folder: String, _ serving: ServingPath, tokenizer: String = "characters"
    ) throws -> JobResult {
        let file = folder + "/texts.txt"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(String(repeating: "the swift in the wind, the tree in the sun\n", count: 40).utf8)
            .write(to: URL(filePath: file))
        let tree = try RecipeReader.read(
            text: """
                name: texts
                data: {source: texts.txt}
                model: {architecture: \(architecture), layers: 2, heads: 2, width: 32, context: 24, tokenizer: \(tokenizer)}
                training: {steps: 8, batch_size: 4, optimizer: {learning_rate: 0.01}}
                """, file: "recipe.yaml"
        ).tree
        let task = TrainTask(
            jobID: "job", recipe: tree,
            datasets: [DatasetMount(reference: "texts.txt", resolved: "texts@1", contentHash: "h", path: file)],
            directory: folder + "/job", share: MachineShare(threads: 1))
        return try compute.run {
            let link = JobLink(event: { _ in }, progress: { _ in }, stop: { nil })
            guard case .finished(let result) = try TrainJob(task, link: link, serving: serving).run() else {
                throw MartletError(.internal, "the job did not finish")
            }
            return result
        }
    }

    @Test(arguments: ["gpt", "llama", "mistral", "qwen2", "qwen3"])
    func `what is trained from texts answers as it was trained`(architecture: String) throws {
        try Self.withFolder { folder in
            let card = try #require(try Self.train(architecture, folder, Self.path()).card)
            #expect(try #require(card.parity?["float32"]) <= 1e-4)
            #expect(card.parity?.count == 2 && card.hashes?["tokenizer"] != nil)
            #expect(FileManager.default.fileExists(atPath: folder + "/job/bundle/card.json"))
            #expect(!FileManager.default.fileExists(atPath: folder + "/job/candidate"))
        }
    }

    @Test func `a model of texts is measured on others as its card says of its own`() throws {
        try Self.withFolder { folder in
            let card = try #require(try Self.train("llama", folder, Self.path()).card)
            // The test part is the text's end; of 172 tokens 7 windows of 24 are whole, and each has a token before it.
            let text = try String(contentsOfFile: folder + "/texts.txt", encoding: .utf8).suffix(172).prefix(7 * 24 + 1)
            try Data(text.utf8).write(to: URL(filePath: folder + "/others.txt"))
            let report = try Self.evaluate(folder + "/job/bundle", on: folder + "/others.txt")
            #expect(report["tokens"] == 168 && report["texts"] == 1 && report["window"] == 24)
            for metric in ["loss", "perplexity"] {
                let (expected, found) = (card.metrics["test"]?[metric], report["metrics"]?[metric]?.double)
                #expect(
                    abs(try #require(expected) - #require(found)) < 0.01 * (expected ?? 0), "\(report.serialized())")
            }
        }
    }

    @Test func `an adapter is measured with its base, each text on its own`() throws {
        try Self.withFolder { folder in
            _ = try Self.tune("adapter: {rank: 4}", folder, Self.path(), steps: 20)
            // The base as it lies in a home.
            let base = folder + "/base"
            try FileManager.default.copyItem(atPath: Self.tiny, toPath: base)
            var signature = Signature()
            signature.kind = .language
            signature.language = LanguageSummary(
                architecture: "llama", parameterCount: 32_352, contextLength: 512, vocabularyCount: 263, width: 32,
                layerCount: 2, storedPrecision: "F32", hasChatTemplate: true, generates: true)
            try JSONEncoder.wire.encode(signature).write(to: URL(filePath: base + "/" + BundleFile.signature))
            try JSONEncoder.wire.encode(ModelCard()).write(to: URL(filePath: base + "/" + BundleFile.card))
            let texts = folder + "/texts.jsonl"
            let lines = ["the swift an inn", "the swift an an inn", "t"].map { "{\"text\": \"\($0)\"}\n" }
            try Data(lines.joined().utf8).write(to: URL(filePath: texts))
            let before = try Self.evaluate(base, on: texts)
            let after = try Self.evaluate(folder + "/job/bundle", base: base, on: texts)
            #expect(before["texts"] == 3 && before["tokens"] == after["tokens"])
            let losses = [before, after].compactMap { $0["metrics"]?["loss"]?.double }
            #expect(losses.count == 2 && losses[1] < losses[0], "\(losses)")
            // Another order of the texts is the same measure.
            try Data(lines.reversed().joined().utf8).write(to: URL(filePath: texts))
            let turned = try #require(try Self.evaluate(base, on: texts)["metrics"]?["loss"]?.double)
            #expect(abs(turned - losses[0]) < 1e-6)
        }
    }

    private static func evaluate(_ bundle: String, base: String? = nil, on file: String) throws -> JSON {
        let task = EvaluateTask(
            jobID: "job", bundle: bundle, base: base,
            dataset: DatasetMount(reference: "d", resolved: "d@1", contentHash: "h", path: file),
            directory: file + ".job", share: MachineShare(threads: 1))
        return try compute.run {
            let link = JobLink(event: { _ in }, progress: { _ in }, stop: { nil })
            guard case .finished(let result) = try EvaluateJob(task, link: link, serving: path()).run() else {
                throw MartletError(.internal, "the job did not finish")
            }
            return result.report
        }
    }

    @Test func `a model of texts that was changed is not published`() throws {
        try Self.withFolder { folder in
            do {
                _ = try Self.train(
                    "llama", folder, Self.path(Self.tamper), tokenizer: "{type: bpe, vocabulary_size: 257}")
                Issue.record("a changed bundle was published")
            } catch let error as MartletError {
                #expect(error.code == .parityCheckFailed)
                #expect(error.message.contains("window 1 of the validation texts, after token "), "\(error.message)")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/job/bundle"))
        }
    }

    /// Changes one number of the bundle's weights.
    private static let tamper: @Sendable (String) throws -> Void = { bundle in
        let names = [BundleFile.weights, BundleFile.adapterWeights].map { "\(bundle)/\($0)" }
        guard let path = names.first(where: { FileManager.default.fileExists(atPath: $0) }) else { return }
        var tensors = try SafeTensors(path: path).tensors()
        let place = try #require(tensors.firstIndex { $0.0.contains("layers.1.mlp.down_proj") })
        let tensor = try tensors[place].1.clone()
        try tensor.select(0, 0).fill_(0.7)
        tensors[place].1 = tensor
        try SafeTensors.write(tensors, metadata: ["format": "pt"], to: path)
    }

    @Test(arguments: ["full", "lora"]) func `a bundle that was changed is not published`(kind: String) throws {
        try Self.withFolder { folder in
            do {
                _ = try Self.tune(Self.kinds[kind] ?? "", folder, Self.path(Self.tamper))
                Issue.record("a changed bundle was published")
            } catch let error as MartletError {
                #expect(error.code == .parityCheckFailed)
                #expect(error.message.contains("validation example 1, after token "), "\(error.message)")
                #expect(error.message.contains("in serving (float32)"), "\(error.message)")
            }
            #expect(!FileManager.default.fileExists(atPath: folder + "/job/bundle"))
        }
    }
}
