import Foundation
import MartletWire

/// What a tuning recipe leaves out, chosen from its data and its model. The rule is in docs/fine-tuning.md.
package struct Hyperparameters {
    /// The recipe with everything in it.
    package let recipe: Recipe
    /// What the `hyperparameters` event tells.
    package let facts: JSON

    /// What the rule looks at.
    package struct Situation {
        package var examples: Int
        package var tokens: Int
        package var method: TuningConfig.Method
        package var isAdapter: Bool
        /// Of the model's hidden states.
        package var width: Int

        package init(examples: Int, tokens: Int, method: TuningConfig.Method, isAdapter: Bool, width: Int) {
            self.examples = examples
            self.tokens = tokens
            self.method = method
            self.isAdapter = isAdapter
            self.width = width
        }
    }

    package init(_ recipe: Recipe, tree: JSON, _ situation: Situation) {
        var recipe = recipe
        let written = tree["training"]
        func isLeftOut(_ path: String...) -> Bool {
            var value = written
            for part in path { value = value?[part] }
            return value.map(\.isNull) ?? true
        }
        var chosen: [String] = []
        if isLeftOut("epochs"), isLeftOut("steps") {
            recipe.training.epochs = Self.epochs(situation)
            chosen.append("n_epochs")
        }
        if isLeftOut("batch_size") {
            recipe.training.batchSize = Self.batchSize(situation)
            chosen.append("batch_size")
        }
        if isLeftOut("optimizer", "type") {
            recipe.training.optimizer.type = .adamw
            if isLeftOut("optimizer", "weight_decay") { recipe.training.optimizer.weightDecay = 0 }
        }
        let multiplier = recipe.tuning?.learningRateMultiplier ?? 1
        if isLeftOut("optimizer", "learning_rate") {
            recipe.training.optimizer.learningRate = Self.learningRate(situation)
            chosen.append("learning_rate")
        }
        recipe.training.optimizer.learningRate *= multiplier
        if isLeftOut("clip_norm") { recipe.training.clipNorm = 1 }
        if isLeftOut("schedule") {
            let batches = (situation.examples - 1) / recipe.training.batchSize + 1
            let perEpoch = (batches - 1) / recipe.training.accumulate + 1
            let (product, overflows) = perEpoch.multipliedReportingOverflow(by: recipe.training.epochs)
            let steps = recipe.training.steps ?? (overflows ? .max : product)
            recipe.training.schedule = ScheduleConfig(type: .cosine, warmupSteps: min(100, steps / 33))
        }
        self.recipe = recipe
        let training = recipe.training
        var facts: JSONObject = [
            "n_epochs": JSON(training.epochs), "batch_size": JSON(training.batchSize),
            "learning_rate_multiplier": .double(multiplier),
            "learning_rate": .double(training.optimizer.learningRate),
            "optimizer": .string(training.optimizer.type.rawValue),
            "schedule": .string(training.schedule.type.rawValue), "warmup_steps": JSON(training.schedule.warmupSteps),
            "auto": .array(chosen.map(JSON.string)),
            "rule": .string(
                "examples \(situation.examples), tokens \(situation.tokens), method \(situation.method.rawValue), "
                    + (situation.isAdapter ? "adapter" : "all weights") + ", width \(situation.width)"),
        ]
        if situation.method == .dpo { facts["beta"] = .double(recipe.tuning?.beta ?? Self.beta) }
        self.facts = .object(facts)
    }

    /// How much it costs to move away from the base, where a recipe does not say.
    static let beta = 0.1

    /// Three passes (one for preferences and for reinforcement), but at least 100 and at most 25,000 examples in all, and
    /// at most 25 passes.
    static func epochs(_ situation: Situation) -> Int {
        let usual = situation.method == .supervised ? 3 : 1
        let count = max(1, situation.examples)
        if count < (100 - 1) / usual + 1 { return min(25, (100 - 1) / count + 1) }
        if count > 25_000 / usual { return max(1, 25_000 / count) }
        return usual
    }

    /// The largest power of two that leaves some 32 steps in a pass, at most 64 and at most 16,384 tokens.
    static func batchSize(_ situation: Situation) -> Int {
        let length = max(1, situation.tokens / max(1, situation.examples))
        let most = max(1, min(situation.examples / 32, 16_384 / length, 64))
        return 1 << (Int.bitWidth - 1 - most.leadingZeroBitCount)
    }

    /// 0.05 divided by the width, from 5·10⁻⁶ to 10⁻³; an adapter learns ten times as fast, at most 5·10⁻³. Preferences take
    /// a twentieth of it, reinforcement a tenth.
    static func learningRate(_ situation: Situation) -> Double {
        let full = min(max(0.05 / Double(max(1, situation.width)), 5e-6), 1e-3)
        let rate = situation.isAdapter ? min(10 * full, 5e-3) : full
        switch situation.method {
        case .supervised: return rate
        case .dpo: return rate / 20
        case .reinforcement: return rate / 10
        }
    }
}
