import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletTraining
import MartletWire
import Testing

/// Fine-tuning against PEFT, transformers and trl, from `scripts/golden/make_tuning.py`.
@Suite struct TuningGoldenTests {
    struct Golden: Decodable, Sendable {
        struct Curve: Decodable, Sendable {
            var losses: [Double]
            var accuracies: [Double]
        }
        struct Preference: Decodable, Sendable {
            struct TRL: Decodable, Sendable {
                var loss: Double
                var tokens: [[Int64]]
                var learnt: [String]
            }
            var beta: Double
            var loss: Double
            var reference: [Float]
            var margins: [Double]
            var norm: Double
            var gradients: [String: [Double]]
            var trl: TRL
        }
        var tokens: [[Int64]]
        var learnt: [String]
        var rates: [String: Double]
        var lora: Curve
        var full: Curve
        var dpo: Preference
    }

    private static func recipe(_ rate: Double, _ more: String = "") -> String {
        """
        name: tuned
        base: tiny
        data: {source: {train: chat.jsonl}}
        training:
          steps: 50
          batch_size: 4
          shuffle: false
          optimizer: {type: adamw, learning_rate: \(rate), weight_decay: 0}
          schedule: {type: cosine, warmup_steps: 5}
          clip_norm: 1.0
        \(more)
        """
    }

    private static func examples(_ tokens: [[Int64]], _ learnt: [String]) -> [TokenExample] {
        zip(tokens, learnt).map { TokenExample(tokens: $0, isLearnt: $1.map { $0 == "1" }) }
    }

    @Test(arguments: ["lora", "full"])
    func `fifty steps lose what PEFT and transformers lose`(kind: String) throws {
        let golden = try golden("tuning/tuning.json", as: Golden.self)
        let expected = kind == "lora" ? golden.lora : golden.full
        let test = try TuningTest(
            Self.recipe(golden.rates[kind] ?? 0), ["chat.jsonl": TuningTest.goldenText("chat.jsonl")],
            adapter: kind == "lora" ? TuningTest.golden + "/start" : nil)
        let told = Told()
        let result = try test.finish(told)
        let losses = TuningTest.curve(told, "train_loss")
        #expect(losses.count == 50)
        let worst = zip(losses, expected.losses).map { abs($0 - $1) }.max() ?? 9
        #expect(worst <= 1e-3, "\(worst)")
        let accuracies = TuningTest.curve(told, "train_mean_token_accuracy")
        #expect(zip(accuracies, expected.accuracies).allSatisfy { abs($0 - $1) < 0.02 })
        #expect((result.card?.parity?["float32"] ?? 1) <= 1e-4)
        // What is learnt is what transformers' tokenizer and template say.
        let found = try #require(
            TokenExamples(
                path: test.directory + "/cache/train", count: golden.tokens.count,
                tokenCount: golden.tokens.reduce(0) { $0 + $1.count }))
        #expect((0..<found.count).map { found[$0] } == Self.examples(golden.tokens, golden.learnt))
    }

    @Test func `preferences have the loss and gradients of the formula and of trl`() throws {
        let golden = try golden("tuning/tuning.json", as: Golden.self).dpo
        let test = try TuningTest(
            """
            name: preferred
            base: tiny
            tuning: dpo
            adapter: {type: lora, rank: 8}
            data: {source: {train: pairs.jsonl}}
            training: {steps: 1, batch_size: 6, shuffle: false}
            """, ["pairs.jsonl": TuningTest.goldenText("pairs.jsonl")])
        let told = Told()
        _ = try test.finish(told)
        // Before the first step the model is its own reference.
        #expect(abs((TuningTest.curve(told, "train_loss").first ?? 0) - log(2)) < 1e-6)
        let facts = try JSONParser.parse(Data(contentsOf: URL(filePath: test.directory + "/cache/examples.json")))
        let tokenCount = try #require(facts["trainTokens"]?.int)
        try onCompute {
            let pairs = try #require(
                TokenExamples(path: test.directory + "/cache/train", count: 12, tokenCount: tokenCount))
            let policy = try TunedModel(
                base: TuningTest.tiny, adapter: LanguageAdapter.config(of: TuningTest.golden + "/other"),
                adapterPath: TuningTest.golden + "/other")
            let base = try TunedModel(base: TuningTest.tiny, adapter: nil)
            func loss(_ examples: [TokenExample]) throws -> (loss: Tensor, margins: Tensor, reference: Tensor) {
                let reference = try Tensor.inference {
                    let (logits, targets, counts) = try base.learntLogits(examples, .inference())
                    return try PreferenceObjective.chances(logits, targets, counts)
                }
                let (logits, targets, counts) = try policy.learntLogits(examples, .inference())
                let chances = try PreferenceObjective.chances(logits, targets, counts)
                let (loss, margins) = try PreferenceObjective.loss(
                    chances: chances, reference: reference.clone(), beta: golden.beta)
                return (loss, margins, reference)
            }
            let found = try loss((0..<12).map { pairs[$0] })
            #expect(abs(try found.loss.item() - golden.loss) <= 1e-5)
            let margins = try found.margins.array(of: Double.self)
            #expect(zip(margins, golden.margins).allSatisfy { isClose($0, $1, atol: 1e-4) })
            let reference = try found.reference.array(of: Float.self)
            #expect(zip(reference, golden.reference).allSatisfy { abs($0 - $1) <= 1e-4 })
            try found.loss.backward()
            var squares = 0.0
            for item in policy.module.parameters() {
                let gradient = try #require(item.parameter.value.grad).array(of: Double.self)
                squares += gradient.reduce(0) { $0 + $1 * $1 }
                guard let expected = golden.gradients[item.name] else { continue }
                let worst = zip(gradient, expected).map { abs($0 - $1) }.max() ?? 9
                #expect(worst <= 1e-5, "\(item.name): \(worst)")
            }
            #expect(abs(squares.squareRoot() - golden.norm) <= 1e-5 * max(1, golden.norm))
            // On the tokens that trl trained on, its own loss.
            let theirs = try loss(Self.examples(golden.trl.tokens, golden.trl.learnt)).loss.item()
            #expect(abs(theirs - golden.trl.loss) <= 1e-5, "\(theirs)")
        }
    }

    @Test func `an adapter in eight bits of base learns nearly the same`() throws {
        let golden = try golden("tuning/tuning.json", as: Golden.self)
        let test = try TuningTest(
            Self.recipe(golden.rates["lora"] ?? 0, "adapter: {type: lora, base_precision: int8}"),
            ["chat.jsonl": TuningTest.goldenText("chat.jsonl")], adapter: TuningTest.golden + "/start")
        let told = Told()
        let result = try test.finish(told)
        let losses = TuningTest.curve(told, "train_loss")
        let worst = zip(losses, golden.lora.losses).map { abs($0 - $1) }.max() ?? 9
        #expect(worst > 1e-6 && worst < 0.15, "\(worst)")
        #expect((result.card?.parity?["float32"] ?? 1) <= 1e-4)
    }
}
