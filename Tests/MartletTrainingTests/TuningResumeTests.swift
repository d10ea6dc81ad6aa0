import Foundation
import MartletTraining
import MartletWire
import Testing

/// A tuning job that was interrupted ends with the bits of one that was not.
@Suite struct TuningResumeTests {
    private static let training = """
        training:
          steps: 14
          batch_size: 4
          optimizer: {learning_rate: 0.003}
          checkpoint: {every: 1 steps, keep: 100}
          seed: 3
        """

    private static let kinds: [String: (text: String, file: String)] = [
        "full": ("data: {source: {train: chat.jsonl}}", "chat.jsonl"),
        "lora": ("adapter: {rank: 4, dropout: 0.2}\ndata: {source: {train: chat.jsonl}}", "chat.jsonl"),
        "int8": (
            "adapter: {rank: 4, base_precision: int8}\ndata: {source: {train: chat.jsonl}}", "chat.jsonl"
        ),
        "dpo": ("tuning: dpo\nadapter: {rank: 4}\ndata: {source: {train: pairs.jsonl}}", "pairs.jsonl"),
    ]

    @Test(arguments: ["full", "lora", "int8", "dpo"], [1, 9])
    func `from any checkpoint the same bits`(kind: String, step: Int) throws {
        let (text, file) = try #require(Self.kinds[kind])
        let test = try TuningTest(
            "name: tuned\nbase: tiny\n\(text)\n\(Self.training)", [file: TuningTest.goldenText(file)])
        let first = Told()
        _ = try test.finish(first)
        let straight = try test.weights
        // What is left where the process dies after a step.
        let files = FileManager.default
        try files.removeItem(atPath: test.bundle)
        for later in step + 1...14 { try files.removeItem(atPath: test.directory + "/checkpoints/step-\(later)") }
        let told = Told()
        _ = try test.finish(told)
        #expect(told.event("resumed-\(step)") != nil)
        #expect(try test.weights == straight)
        // Steps that are done again are told under the same keys with the same numbers.
        for event in told.events where event.key.hasPrefix("step-") { #expect(event == first.event(event.key)) }
        // What was already kept is told again, and nothing is kept that the first run did not have.
        let points = told.points
        #expect(Set(points.map(\.step)) == Set(first.points.map(\.step)))
        #expect(points.allSatisfy { files.fileExists(atPath: "\(test.directory)/\($0.bundle)/card.json") })
    }

    @Test(arguments: [1, 4]) func `reinforcement goes on to the same bits from any checkpoint`(step: Int) throws {
        let prompts = (0..<12).map { number in
            "{\"messages\": [{\"role\": \"user\", \"content\": \"say \(number)\"}], \"wanted\": \"the swift \(number)\"}"
        }
        let grader =
            "{type: text_similarity, name: near, evaluation_metric: fuzzy_match, "
            + "input: \"{{sample.output_text}}\", reference: \"{{item.wanted}}\"}"
        let test = try TuningTest(
            """
            name: tuned
            base: tiny
            adapter: {rank: 4, dropout: 0.2}
            tuning: {method: reinforcement, samples: 3, max_tokens: 6, grader: \(grader)}
            data: {source: {train: prompts.jsonl, validation: prompts.jsonl}}
            training:
              steps: 6
              batch_size: 4
              optimizer: {learning_rate: 0.01}
              checkpoint: {every: 1 steps, keep: 100}
              seed: 3
            """, ["prompts.jsonl": prompts.joined(separator: "\n")])
        let first = Told()
        let straightCard = try test.finish(first).card
        let straight = try test.weights
        // The rewards differ, so that every step changes the weights.
        #expect(Set(TuningTest.curve(first, "train_reward_mean")).count > 1)
        let files = FileManager.default
        try files.removeItem(atPath: test.bundle)
        for later in step + 1...6 { try files.removeItem(atPath: test.directory + "/checkpoints/step-\(later)") }
        let told = Told()
        let resumedCard = try test.finish(told).card
        #expect(told.event("resumed-\(step)") != nil)
        #expect(try test.weights == straight)
        #expect(resumedCard?.metrics == straightCard?.metrics)
        for event in told.events where event.key.hasPrefix("step-") { #expect(event == first.event(event.key)) }
    }

    @Test func `another seed gives other bits`() throws {
        var ends: [Data] = []
        for seed in ["3", "4"] {
            let test = try TuningTest(
                "name: tuned\nbase: tiny\nadapter: {rank: 4}\ndata: {source: {train: chat.jsonl}}\n"
                    + Self.training.replacingOccurrences(of: "seed: 3", with: "seed: \(seed)"),
                ["chat.jsonl": TuningTest.goldenText("chat.jsonl")])
            _ = try test.finish()
            ends.append(try test.weights)
        }
        #expect(ends[0] != ends[1])
    }

    @Test func `a paused job goes on to the same bits`() throws {
        let text =
            "name: tuned\nbase: tiny\ndata: {source: {train: chat.jsonl}}\n"
            + Self.training.replacingOccurrences(of: "steps: 14", with: "steps: 300")
            .replacingOccurrences(of: "1 steps, keep: 100", with: "60s")
        let data = ["chat.jsonl": try TuningTest.goldenText("chat.jsonl")]
        let undisturbed = try TuningTest(text, data)
        _ = try undisturbed.finish()
        let paused = try TuningTest(text, data)
        guard case .paused = try paused.run(stop: { $0 == 1 ? .pause : nil }) else {
            throw MartletError(.internal, "the job was not paused")
        }
        _ = try paused.finish()
        #expect(try paused.weights == undisturbed.weights)
    }
}
