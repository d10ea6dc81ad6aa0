import Foundation
import MartletTesting
import MartletTraining
import MartletWire
import Synchronization
import Testing

/// Reinforcement whose graders ask models.
@Suite struct ModelGraderTests {
    /// A model that says another score each time it is asked.
    private final class Moody: Sendable {
        private let asked = Mutex<[String]>([])
        /// Every question, in order.
        var questions: [String] { asked.withLock { $0 } }
        /// The number of the answer from 1 gives the text.
        private let text: @Sendable (Int) -> String

        init(_ text: @escaping @Sendable (Int) -> String = { "{\"result\": \(($0 * 37) % 10)}" }) { self.text = text }

        var models: Told.Models {
            { questions, goOn in
                try goOn()
                return ModelAnswers(
                    texts: questions.bodies.map { body in
                        let number = self.asked.withLock { asked in
                            asked.append(body)
                            return asked.count
                        }
                        return self.text(number)
                    })
            }
        }
    }

    private static let score =
        "{type: score_model, name: taste, model: judge, range: [0, 9], "
        + "input: [{role: user, content: \"{{item.wanted}}: {{sample.output_text}}\"}]}"

    private static func job(_ grader: String = score, every: Int = 1, validation: Bool = true) throws -> TuningTest {
        let prompts = (0..<12).map { number in
            "{\"messages\": [{\"role\": \"user\", \"content\": \"say \(number)\"}], \"wanted\": \"swift \(number)\"}"
        }
        return try TuningTest(
            """
            name: tuned
            base: tiny
            adapter: {rank: 4}
            tuning: {method: reinforcement, samples: 3, max_tokens: 5, grader: \(grader)}
            data: {source: {train: prompts.jsonl\(validation ? ", validation: prompts.jsonl" : "")}}
            training:
              steps: 5
              batch_size: 4
              optimizer: {learning_rate: 0.01}
              checkpoint: {every: \(every) steps, keep: 100}
              seed: 3
            """, ["prompts.jsonl": prompts.joined(separator: "\n")])
    }

    private static func file(_ test: TuningTest) -> String { test.directory + "/grader-answers.jsonl" }

    @Test func `a question is asked once and in OpenAI's form`() throws {
        let judge = Moody()
        let test = try Self.job()
        let told = Told(models: judge.models)
        let card = try test.finish(told).card
        #expect(judge.questions.count == Set(judge.questions).count && judge.questions.count > 20)
        let body = try JSONParser.parse(try #require(judge.questions.first))
        #expect(body["model"] == "judge" && body["response_format"]?["type"] == "json_schema")
        #expect(body["messages"]?.array?.last?["content"]?.string?.hasPrefix("swift ") == true)
        let rewards = TuningTest.curve(told, "train_reward_mean")
        #expect(Set(rewards).count > 1 && rewards.allSatisfy { (0...9).contains($0) })
        #expect(card?.metrics["validation"]?["reward_mean"] != nil)
    }

    /// What a worker that died was told, and the steps that it had saved, give the next one the same bits.
    @Test("J02: a resumed job hears what the first one heard", arguments: [1, 3]) func resumed(step: Int) throws {
        let test = try Self.job()
        let first = Told(models: Moody().models)
        let straightCard = try test.finish(first).card
        let straight = try test.weights
        let files = FileManager.default
        try files.removeItem(atPath: test.bundle)
        for later in step + 1...5 { try files.removeItem(atPath: test.directory + "/checkpoints/step-\(later)") }
        // It died in the middle of a line.
        let file = try FileHandle(forWritingTo: URL(filePath: Self.file(test)))
        let whole = try file.seekToEnd()
        try file.write(contentsOf: Data(#"{"question":"0123"#.utf8))
        try file.close()
        let silent = Moody { _ in "never asked" }
        let told = Told(models: silent.models)
        let resumedCard = try test.finish(told).card
        #expect(told.event("resumed-\(step)") != nil && silent.questions.isEmpty)
        #expect(try test.weights == straight && resumedCard?.metrics == straightCard?.metrics)
        #expect(try files.attributesOfItem(atPath: Self.file(test))[.size] as? UInt64 == whole)
        for event in told.events where event.key.hasPrefix("step-") { #expect(event == first.event(event.key)) }
    }

    @Test func `a damaged answer is told and asked again`() throws {
        let test = try Self.job()
        _ = try test.finish(Told(models: Moody().models))
        var text = try String(contentsOfFile: Self.file(test), encoding: .utf8)
        text.replaceSubrange(text.startIndex..<text.index(text.startIndex, offsetBy: 3), with: "!!!")
        try Data(text.utf8).write(to: URL(filePath: Self.file(test)))
        try FileManager.default.removeItem(atPath: test.bundle)
        try FileManager.default.removeItem(atPath: test.directory + "/checkpoints")
        let again = Moody()
        let told = Told(models: again.models)
        _ = try test.finish(told)
        #expect(again.questions.count >= 1)
        #expect(told.event("damaged-grader-answers")?.message.contains("damaged (1)") == true)
    }

    @Test func `an answer without a grade teaches nothing and is counted`() throws {
        let judge = Moody { $0 % 4 == 0 ? "I like it" : "{\"result\": \($0 % 10)}" }
        let told = Told(models: judge.models)
        _ = try Self.job().finish(told)
        let ungraded = TuningTest.curve(told, "train_ungraded_answers")
        #expect(!ungraded.isEmpty && ungraded.allSatisfy { $0 >= 1 && $0 < 12 }, "\(ungraded)")
        let deaf = Told(models: Moody { _ in "I like it" }.models)
        expectFault(.invalidData, ["grader 'taste'", "I like it"]) { _ = try Self.job().finish(deaf) }
    }

    @Test func `a model that cannot be asked ends the job by name`() throws {
        let told = Told { _, _ in throw MartletError(.modelNotFound, "the grader's model 'judge' is gone") }
        expectFault(.modelNotFound, ["'judge' is gone"]) { _ = try Self.job().finish(told) }
    }

    /// In training, and where the validation rows of a step are graded.
    @Test(arguments: [1, 2, 5], [JobLink.Stop.pause, .cancel])
    func `a job that waits for an answer can be stopped`(call: Int, how: JobLink.Stop) throws {
        let calm: @Sendable (ModelQuestions) -> ModelAnswers = { questions in
            ModelAnswers(texts: questions.bodies.map { "{\"result\": \($0.utf8.reduce(0) { $0 &+ Int($1) } % 10)}" })
        }
        let undisturbed = try Self.job(every: 100)
        _ = try undisturbed.finish(Told { questions, _ in calm(questions) })
        let test = try Self.job(every: 100)
        let calls = Mutex(0)
        let isStopped = Mutex(false)
        let waiting = Told { questions, goOn in
            guard
                calls.withLock({ calls in
                    calls += 1; return calls == call
                })
            else { return calm(questions) }
            isStopped.withLock { $0 = true }
            while true { try goOn() }
        }
        let outcome = try test.run(waiting, in: "") { _ in isStopped.withLock { $0 } ? how : nil }
        switch (outcome, how) {
        case (.paused, .pause), (.cancelled, .cancel): break
        default: Issue.record("\(outcome)")
        }
        guard how == .pause else { return }
        _ = try test.finish(Told { questions, _ in calm(questions) })
        #expect(try test.weights == undisturbed.weights)
    }
}
