import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

/// Fine-tuning works, and does not only run: from a base that has never seen the task to answers on held-out lines.
@Suite struct TuningTaskTests {
    /// A base that was trained, once for all tests, to say words again: `?bead!bead`.
    private final class Base: Sendable {
        let scratch: Scratch
        let folder: String

        init() throws {
            scratch = try Scratch()
            RemovedAtExit.add(scratch.path)
            folder = scratch.path + "/job/bundle"
            let lines = Words(seed: 1).take(600, letters: Array("abcdefghxyz")).map { "{\"text\": \"?\($0)!\($0)\"}" }
            let path = try scratch.write("words.jsonl", lines.joined(separator: "\n"))
            let tree = try RecipeReader.read(
                text: """
                    name: words
                    data: {source: words.jsonl, split: {train: 1, validation: 0, test: 0}}
                    model: {architecture: llama, layers: 2, heads: 4, width: 96, context: 32, tokenizer: characters}
                    training: {steps: 240, batch_size: 16, optimizer: {type: adamw, learning_rate: 0.003}}
                    evaluation: {sample: {tokens: 0}}
                    """, file: "recipe.yaml"
            ).tree
            let task = TrainTask(
                jobID: "base", recipe: tree,
                datasets: [DatasetMount(reference: "words.jsonl", resolved: "w@1", contentHash: "h", path: path)],
                directory: scratch.path + "/job", share: MachineShare(threads: 1))
            _ = try onCompute { try TrainJob(task, link: Told().link(), serving: .plain).run() }
            let template =
                "{% for m in messages %}{{ '?' if m.role == 'user' else '!' }}{{ m.content }}"
                + "{% if m.role == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}"
                + "{% if add_generation_prompt %}!{% endif %}"
            try Data(template.utf8).write(to: URL(filePath: folder + "/chat_template.jinja"))
        }

        static let shared = Result { try Base() }
    }

    /// Words of four letters.
    private struct Words {
        var state: UInt64
        init(seed: UInt64) { state = seed }

        func take(_ count: Int, letters: [Character]) -> [String] {
            var copy = self
            return (0..<count).map { _ in
                String(
                    (0..<4).map { _ in
                        copy.state = copy.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        return letters[Int(copy.state >> 33) % letters.count]
                    })
            }
        }
    }

    /// The hidden rule: a label by the second letter.
    private static func label(_ word: String) -> String {
        let letter = word.dropFirst().first ?? " "
        return "abc".contains(letter) ? "x" : "de".contains(letter) ? "y" : "z"
    }

    private static func lines(_ words: [String]) -> String {
        words.map { word in
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\(word)\"}, "
                + "{\"role\": \"assistant\", \"content\": \"\(label(word))\"}]}"
        }.joined(separator: "\n")
    }

    /// The share of words whose likeliest next token is their label.
    private static func accuracy(_ folder: String, _ words: [String]) throws -> Double {
        try onCompute {
            let bundle = try LanguageBundle.load(URL(filePath: folder))
            let json = try JSONParser.parse(Data(contentsOf: URL(filePath: folder + "/tokenizer.json")))
            let vocabulary = try #require(json["model"]?["vocab"]?.object)
            func id(_ text: String) throws -> Int64 { Int64(try #require(vocabulary[text]?.int)) }
            let tokens = try words.flatMap { try "?\($0)!".map { try id(String($0)) } }
            let found = try Tensor.inference {
                let attention = try SequenceAttention(rows: words.count, length: 6)
                let hidden = try bundle.model.hidden(Tensor(tokens), attention, .inference())
                let last = try hidden.reshape([words.count, 6, -1]).select(1, 5)
                return try bundle.model.logits(last, .inference()).argmax(-1).array(of: Int64.self)
            }
            let right = try zip(words, found).filter { try id(Self.label($0)) == $1 }.count
            return Double(right) / Double(words.count)
        }
    }

    @Test(arguments: ["full", "lora"]) func `held-out words get their label by a hidden rule`(kind: String) throws {
        let base = try Base.shared.get()
        let letters = Array("abcdefgh")
        let words = Words(seed: 7).take(1400, letters: letters)
        let trained = Array(words.dropLast(200))
        let held = Array(Set(words.suffix(200)).subtracting(trained)).sorted()
        let adapter = kind == "lora" ? "adapter: {rank: 8, targets: [q_proj, v_proj, o_proj]}" : ""
        let test = try TuningTest(
            """
            name: labels
            base: words
            \(adapter)
            data: {source: {train: train.jsonl, validation: held.jsonl}}
            training: {epochs: 20, batch_size: 16}
            """, ["train.jsonl": Self.lines(trained), "held.jsonl": Self.lines(held)], base: base.folder)
        let before = try Self.accuracy(base.folder, held)
        #expect(before < 0.5, "\(before)")
        let told = Told()
        let card = try #require(try test.finish(told).card)
        var folder = test.bundle
        if kind == "lora" {
            let whole = try onCompute { try LanguageBundle.load(URL(filePath: base.folder)).model.parameterCount }
            #expect(Double(card.parameterCount) / Double(whole) <= 0.05)
            let merged = test.scratch.path + "/merged"
            _ = try onCompute {
                try ModelImport.merge(
                    URL(filePath: test.bundle), into: URL(filePath: base.folder), to: URL(filePath: merged))
            }
            folder = merged
        }
        let after = try Self.accuracy(folder, held)
        #expect(after >= 0.95, "\(kind): \(before) to \(after)")
        // What the job measured while it trained says the same.
        #expect((card.metrics["validation"]?["mean_token_accuracy"] ?? 0) >= 0.95)
        #expect(told.event("hyperparameters")?.data["auto"]?.array == ["learning_rate"])
    }

    @Test func `an adapter's files are named and shaped as PEFT's own`() throws {
        let test = try TuningTest(
            "name: t\nbase: tiny\nadapter: {rank: 8}\ndata: {source: {train: chat.jsonl}}\ntraining: {steps: 1}",
            ["chat.jsonl": TuningTest.goldenText("chat.jsonl")])
        _ = try test.finish()
        func adapter(_ folder: String) throws -> (shapes: [String: [Int]], config: JSON) {
            let file = try SafeTensors(path: folder + "/adapter_model.safetensors")
            let config = try JSONParser.parse(Data(contentsOf: URL(filePath: folder + "/adapter_config.json")))
            return (Dictionary(file.entries.map { ($0.name, $0.shape) }, uniquingKeysWith: { $1 }), config)
        }
        let (ours, theirs) = (try adapter(test.bundle), try adapter(TuningTest.golden + "/start"))
        #expect(ours.shapes == theirs.shapes)
        for key in try #require(ours.config.object).keys { #expect(theirs.config[key] != nil, "\(key)") }
        for key in ["peft_type", "r", "task_type", "bias"] { #expect(ours.config[key] == theirs.config[key], "\(key)") }
        let names = { (config: JSON) in Set((config["target_modules"]?.array ?? []).compactMap(\.string)) }
        #expect(names(ours.config) == names(theirs.config))
    }

    @Test func `graders teach what no example says`() throws {
        let base = try Base.shared.get()
        let words = Words(seed: 9).take(48, letters: Array("abcdefgh"))
        let lines = words.map {
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\($0)\"}], \"wanted\": \"\(Self.label($0))\"}"
        }.joined(separator: "\n")
        let test = try TuningTest(
            """
            name: graded
            base: words
            tuning:
              method: reinforcement
              samples: 8
              max_tokens: 2
              grader: {type: string_check, name: first, operation: like, input: "{{sample.output_text}}", reference: "z"}
            data: {source: {train: prompts.jsonl, validation: prompts.jsonl}}
            training: {steps: 30, batch_size: 8, optimizer: {learning_rate: 0.002}}
            """, ["prompts.jsonl": lines], base: base.folder)
        let told = Told()
        let first = try test.finish(told)
        let rewards = TuningTest.curve(told, "train_reward_mean")
        #expect((rewards.first ?? 1) < 0.5, "\(rewards)")
        #expect((first.card?.metrics["validation"]?["reward_mean"] ?? 0) >= 0.95, "\(rewards)")
        // The same job again gives the same bits: every answer was drawn from the seed, the step and its row.
        let straight = try test.weights
        try FileManager.default.removeItem(atPath: test.directory)
        _ = try test.finish()
        #expect(try test.weights == straight)
    }
}
