import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// Language models that learn from texts.
@Suite struct LanguageTests {
    private static let text = """
        name: rhymes
        data: {source: rhymes.txt, split: {train: 0.9, validation: 0.1, test: 0}}
        model: {architecture: gpt, layers: 2, heads: 2, width: 32, context: 16, dropout: 0.1, tokenizer: characters}
        training:
          steps: 60
          batch_size: 8
          optimizer: {type: adamw, learning_rate: 0.01, betas: [0.9, 0.99], weight_decay: 0.1, decay: weights}
          schedule: {type: cosine, warmup_steps: 5, final_factor: 0.1}
          clip_norm: 1.0
          checkpoint: {every: 20 steps}
          seed: 5
        evaluation: {sample: {prompt: "the ", tokens: 12, temperature: 0}}
        """

    /// A text that repeats, so that a small model learns it in a few steps.
    private static let rhymes = String(
        repeating: "the swift is small\nthe tree is tall\nthe leaf must fall\nand that is all\n", count: 60)

    private static func run(
        _ text: String, file: String, _ contents: String, in scratch: Scratch, _ told: Told = Told()
    ) throws -> JobOutcome {
        let path = try scratch.write(file, contents)
        let tree = try RecipeReader.read(text: text, file: "recipe.yaml").tree
        let task = TrainTask(
            jobID: "job", recipe: tree,
            datasets: [DatasetMount(reference: file, resolved: "\(file)@1", contentHash: "h", path: path)],
            directory: scratch.path + "/job", share: MachineShare(threads: 1))
        return try onCompute { try TrainJob(task, link: told.link(), serving: .plain).run() }
    }

    @Test func `an empty text and a folder in a folder of texts are left out of the training`() throws {
        let (scratch, told) = (try Scratch(), Told())
        for (name, text) in [("a", Self.rhymes), ("b", ""), ("c", Self.rhymes), ("old/d", Self.rhymes)] {
            try scratch.write("rhymes/\(name).txt", text)
        }
        let tree = try RecipeReader.read(
            text: Self.text.replacingOccurrences(of: "rhymes.txt", with: "rhymes"), file: "recipe.yaml",
            settings: ["training.steps=2"]
        ).tree
        let task = TrainTask(
            jobID: "job", recipe: tree,
            datasets: [
                DatasetMount(
                    reference: "rhymes", resolved: "rhymes@1", contentHash: "h", path: scratch.path + "/rhymes")
            ], directory: scratch.path + "/job", share: MachineShare(threads: 1))
        guard case .finished = try onCompute({ try TrainJob(task, link: told.link(), serving: .plain).run() }) else {
            throw MartletError(.internal, "the job did not finish")
        }
        #expect(told.event("data")?.message.contains("of 2 texts") == true)
        #expect(told.events.contains { $0.message == "1 file is empty and is left out: b.txt" })
        #expect(
            told.events.contains { $0.message.hasPrefix("1 folder beside the files is left out: old (1 file); put") })
    }

    /// Each token is foretold once: from what stands before a text, or from the token before it.
    @Test func `texts are cut into windows that foretell each token once`() {
        func windows(_ texts: [Int64], lead: [Int64], length: Int) -> [TokenExample] {
            var cut = TextWindows(lead: lead, length: length)
            var found: [TokenExample] = []
            for text in texts {
                for token in 0..<text { cut.add(token).map { found.append($0) } }
                cut.finish().map { found.append($0) }
            }
            return found
        }
        func all(_ tokens: [Int64]...) -> [TokenExample] {
            tokens.map { TokenExample(tokens: $0, isLearnt: $0.indices.map { $0 > 0 }) }
        }
        #expect(windows([8, 1, 2], lead: [], length: 3) == all([0, 1, 2, 3], [3, 4, 5, 6], [6, 7], [0, 1]))
        #expect(windows([8], lead: [9], length: 3) == all([9, 0, 1, 2], [9, 3, 4, 5], [9, 6, 7]))
        #expect(windows([3, 1, 0], lead: [9], length: 3) == all([9, 0, 1, 2], [9, 0]))
        #expect(windows([3], lead: [], length: 1) == all([0, 1], [1, 2]))
        // A window has room for a token behind what stands before it.
        #expect(windows([2], lead: [7, 8, 9], length: 2) == all([7, 0, 1]))
    }

    private static func weights(_ scratch: Scratch) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/job/bundle/model.safetensors"))
    }

    @Test func `a text is learnt, measured, shown and published`() throws {
        let (scratch, told) = (try Scratch(), Told())
        guard case .finished(let result) = try Self.run(Self.text, file: "rhymes.txt", Self.rhymes, in: scratch, told)
        else { throw MartletError(.internal, "the job did not finish") }
        let loss = try #require(result.card?.metrics["validation"]?["loss"])
        let perplexity = try #require(result.card?.metrics["validation"]?["perplexity"])
        // Evenly over the 19 characters it would be 2.9.
        #expect(loss < 1.2, "\(loss)")
        #expect(abs(perplexity - exp(loss)) < 1e-9)
        let sample = try #require(told.events.last { $0.type == "sample" })
        #expect(sample.message.hasPrefix("the "))
        #expect(sample.message.count == 16)
        #expect(told.event("data")?.message.contains("of 1 texts") == true)
        #expect(told.events.contains { $0.message.contains("held out") })

        // What serves it is what was measured.
        let bundle = URL(fileURLWithPath: scratch.path + "/job/bundle")
        let signature = try JSONDecoder.wire.decode(
            Signature.self, from: Data(contentsOf: bundle.appending(path: BundleFile.signature)))
        #expect(signature.isLanguage)
        #expect(signature.language?.contextLength == 16)
        let again = try onCompute {
            let documents = ResolvedSources(all: [scratch.path + "/rhymes.txt"])
            let recipe = try recipe(Self.text)
            let model = try #require(recipe.model)
            let (_, data) = try LanguageTexts.prepare(
                recipe, model, sources: documents, cacheDirectory: scratch.path + "/again")
            let loaded = try LanguageBundle.load(bundle)
            return try LanguageObjective(model: loaded.model, data: data, length: 16, seed: 1)
                .measure(data.validation)
        }
        #expect(abs((again["loss"] ?? 0) - loss) < 1e-5)
    }

    @Test(arguments: [1, 7, 38, 59])
    func `a training that goes on from any checkpoint ends with the same bits`(step: Int) throws {
        let text = Self.text.replacingOccurrences(of: "20 steps", with: "1 steps, keep: 100")
        let scratch = try Scratch()
        _ = try Self.run(text, file: "rhymes.txt", Self.rhymes, in: scratch)
        let straight = try Self.weights(scratch)
        // What is left where the process dies after a step.
        let files = FileManager.default
        try files.removeItem(atPath: scratch.path + "/job/bundle")
        for later in step + 1...60 { try files.removeItem(atPath: scratch.path + "/job/checkpoints/step-\(later)") }
        let told = Told()
        _ = try Self.run(text, file: "rhymes.txt", Self.rhymes, in: scratch, told)
        #expect(told.event("resumed-\(step)") != nil)
        #expect(try Self.weights(scratch) == straight)
    }

    @Test(arguments: ["llama", "qwen2", "qwen3", "mistral"])
    func `other architectures learn with byte pairs from JSON lines`(architecture: String) throws {
        let lines = (0..<40).map { "{\"body\": \"line \($0 % 5) says: the swift is small and the tree is tall\"}" }
        let text = Self.text
            .replacingOccurrences(of: "architecture: gpt", with: "architecture: \(architecture)")
            .replacingOccurrences(
                of: "dropout: 0.1, tokenizer: characters", with: "tokenizer: {type: bpe, vocabulary_size: 300}"
            )
            .replacingOccurrences(of: "source: rhymes.txt,", with: "source: lines.jsonl, column: body,")
        let (scratch, told) = (try Scratch(), Told())
        let outcome = try Self.run(
            text, file: "lines.jsonl", lines.joined(separator: "\n") + "\n", in: scratch, told)
        guard case .finished(let result) = outcome else { throw MartletError(.internal, "the job did not finish") }
        // Evenly over the tokens it would be 5.7.
        #expect((result.card?.metrics["validation"]?["loss"] ?? 9) < 3)
        #expect(told.event("data")?.message.contains("of 40 texts") == true)
        #expect(!told.events.contains { $0.message.contains("held out") })
    }

    @Test func `what cannot be trained is refused with its remedy`() throws {
        let scratch = try Scratch()
        func refusal(_ text: String, _ contents: String) throws -> String {
            do {
                _ = try Self.run(text, file: "rhymes.txt", contents, in: scratch)
                return ""
            } catch let error as MartletError {
                return error.message
            }
        }
        #expect(try refusal(Self.text, "too short").contains("lower model.context"))
        let giant = Self.text.replacingOccurrences(
            of: "layers: 2, heads: 2, width: 32", with: "layers: 1000, heads: 1024, width: 65536")
        #expect(try refusal(giant, Self.rhymes).contains("lower model.width or model.layers"))
        #expect(
            try refusal(Self.text.replacingOccurrences(of: "heads: 2", with: "heads: 3"), Self.rhymes)
                .contains("3 heads do not divide the width 32"))
        #expect(
            try refusal(Self.text + "\ninputs: {a: number}", Self.rhymes).contains("leave this out"))
        #expect(
            try refusal(Self.text.replacingOccurrences(of: "gpt", with: "llama"), Self.rhymes)
                .contains("model.dropout"))
    }
}
