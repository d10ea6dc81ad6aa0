import Foundation
import MartletData
import MartletNN
import MartletTensor
import MartletText
import MartletWire

/// A model that learns from graders of its own answers: of each prompt a group of answers is drawn, and each answer's
/// tokens are made likelier by its advantage, `(reward - mean of the group) / (deviation of the group + 10⁻⁴)` (GRPO; Shao
/// et al., 2024; with one update a group, so that no ratio is clipped, and no penalty for leaving the base).
///
/// The loss is the mean over answers of the mean over an answer's tokens of -advantage · log p.
final class ReinforcementObjective: TuningObjective {
    /// Prompts with the lines that graders read.
    struct Prompts {
        var examples: TokenExamples
        var items: [JSON]
    }

    /// How answers are drawn and judged.
    struct Rules {
        var grader: Grader
        /// Answers of one prompt of a step.
        var samples: Int
        var maxTokens: Int
        var seed: UInt64
    }

    private let tuned: TunedModel
    private let train: Prompts
    private let validation: Prompts
    private let rules: Rules
    private let jury: GraderJury
    private let text: TuningText
    private let sampler: AnswerSampler
    private let maxTokens: Int
    private var order: ExampleOrder
    private var rewards: [Double] = []
    private var answerTokens = 0
    /// Answers whose grade could not be read.
    private var ungraded = 0
    private let goOn: () throws -> Void

    /// - Parameter goOn: asked between the parts of long work; throws where it is to end.
    init(
        _ tuned: TunedModel, train: Prompts, validation: Prompts, rules: Rules, jury: GraderJury,
        text: TuningText,
        goOn: @escaping () throws -> Void = {}
    ) {
        self.goOn = goOn
        self.tuned = tuned
        self.train = train
        self.validation = validation
        self.rules = rules
        self.jury = jury
        self.text = text
        // What is beyond the context is never written.
        maxTokens = min(rules.maxTokens, tuned.model.geometry.contextLength)
        sampler = AnswerSampler(tuned: tuned, endTokens: text.endTokens, maxTokens: maxTokens, seed: rules.seed)
        order = ExampleOrder(count: train.examples.count, seed: rules.seed)
    }

    var module: any Module { tuned.module }
    var rowCount: Int { train.examples.count }
    var unit: (name: String, perRow: Int) { ("prompts", 1) }
    var batchAccuracy: Double? { nil }
    var tokensPerEpoch: Int { (train.examples.tokenCount + rowCount * maxTokens) * rules.samples }

    var stepMetrics: [String: Double] {
        guard !rewards.isEmpty else { return [:] }
        let count = Double(rewards.count)
        var metrics = [
            "reward_mean": rewards.reduce(0, +) / count,
            "answer_tokens_mean": Double(answerTokens) / (count + Double(ungraded)),
        ]
        if ungraded > 0 { metrics["ungraded_answers"] = Double(ungraded) }
        return metrics
    }

    func begin(epoch: Int, shuffled: Bool) throws { order.begin(epoch: epoch, shuffled: shuffled) }

    func parts(of places: Range<Int>) -> [Range<Int>] {
        (rewards, answerTokens, ungraded) = ([], 0, 0)
        return order.parts(of: places, vocabulary: tuned.model.geometry.vocabularyCount) { row in
            (rules.samples * (train.examples.length(row) + maxTokens), rules.samples * maxTokens)
        }
    }

    func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor] {
        var requests: [AnswerSampler.Request] = []
        let rows = places.map { order.row($0) }
        for row in rows {
            let prompt = train.examples[row].tokens
            for sample in 0..<rules.samples {
                requests.append(
                    .init(prompt: prompt, row: UInt64(row) << 16 | UInt64(sample), temperature: 1))
            }
        }
        let answers = try sampler.answers(requests, step: forward.step, goOn)
        let grades = try jury.grades(
            answers.enumerated().map { index, answer in context(answer, train.items[rows[index / rules.samples]]) })
        let scores = grades.scores
        if let fault = grades.fault, scores.allSatisfy({ $0 == nil }) { throw fault }
        var advantages: [Float] = []
        for group in rows.indices {
            let part = scores[group * rules.samples..<(group + 1) * rules.samples]
            let graded = part.compactMap { $0 }
            rewards += graded
            ungraded += part.count - graded.count
            var rest = Self.advantages(graded)[...]
            // An answer without a grade teaches nothing.
            advantages += part.map { $0 == nil ? 0 : Float(rest.popFirst() ?? 0) }
        }
        answerTokens += answers.reduce(0) { $0 + $1.count }
        let examples = zip(requests, answers).map { request, answer in
            TokenExample(
                tokens: request.prompt + answer,
                isLearnt: Array(repeating: false, count: request.prompt.count)
                    + Array(repeating: true, count: answer.count))
        }
        let (logits_MV, targets, counts) = try tuned.learntLogits(examples, forward)
        let losses = try Loss.crossEntropy(logits_MV, targets, .none)
        let weights = zip(advantages, counts).flatMap { advantage, count in
            [Float](repeating: advantage / Float(max(1, count) * answers.count), count: count)
        }
        return [try losses.mul(Tensor(weights, shape: [weights.count], device: tuned.device)).sum()]
    }

    /// How much better than its group each answer is.
    static func advantages(_ rewards: [Double]) -> [Double] {
        let count = Double(max(1, rewards.count))
        let mean = rewards.reduce(0, +) / count
        let deviation = (rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(1, count - 1)).squareRoot()
        return rewards.map { ($0 - mean) / (deviation + 1e-4) }
    }

    /// What graders read of an answer.
    private func context(_ answer: [Int64], _ item: JSON) -> GraderContext {
        GraderContext(item: item, outputText: text.tokenizer.decode(answer.map { Int($0) }))
    }

    func validate() throws -> [String: Double]? {
        validation.examples.count > 0 ? try measure(Array(0..<validation.examples.count), goOn) : nil
    }

    func validationSample(step: Int, count: Int) throws -> [String: Double]? {
        let all = validation.examples.count
        guard all > 0 else { return nil }
        return try measure(Self.sampled(step: step, count: count, of: all))
    }

    /// The mean reward of the likeliest answers; the loss is its negative.
    private func measure(_ rows: [Int], _ goOn: () throws -> Void = {}) throws -> [String: Double] {
        var (sum, count) = (0.0, 0)
        var fault: MartletError?
        for first in stride(from: 0, to: rows.count, by: 16) {
            let part = rows[first..<min(first + 16, rows.count)]
            let requests = part.map {
                AnswerSampler.Request(prompt: validation.examples[$0].tokens, row: UInt64($0), temperature: 0)
            }
            let answers = try sampler.answers(requests, step: 0, goOn)
            let grades = try jury.grades(zip(answers, part).map { context($0, validation.items[$1]) })
            fault = grades.fault ?? fault
            for score in grades.scores.compactMap({ $0 }) {
                sum += score
                count += 1
            }
        }
        if let fault, count == 0 { throw fault }
        let mean = sum / Double(count)
        return ["loss": -mean, "reward_mean": mean]
    }

    func sample() throws -> String? { nil }
}

extension ReinforcementObjective.Rules {
    /// What a recipe says of reinforcement.
    /// - Parameter canAsk: whether the models that a grader names can be asked.
    /// - Throws: `invalidRecipe` where there is no grader, `invalidRequest` for one that cannot be read, and
    ///   `unsupportedFormat` for one that asks a model where that cannot be done.
    init(_ recipe: Recipe, canAsk: Bool) throws {
        guard let json = recipe.tuning?.grader else {
            throw MartletError(
                .invalidRecipe, "reinforcement needs a grader; add tuning.grader", param: "tuning.grader")
        }
        grader = try Grader(json, path: "tuning.grader")
        if let model = grader.models.first, !canAsk {
            throw MartletError(
                .unsupportedFormat,
                "the grader '\(grader.name)' asks the model '\(model)', which only a job of martlet serve can do; "
                    + "submit it with martlet train", param: "tuning.grader")
        }
        samples = recipe.tuning?.samples ?? 4
        maxTokens = recipe.tuning?.maxTokens ?? 64
        seed = UInt64(recipe.training.seed)
    }
}
