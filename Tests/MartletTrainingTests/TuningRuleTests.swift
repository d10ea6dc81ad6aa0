import Foundation
import MartletTraining
import MartletWire
import Testing

/// What a recipe leaves out is chosen by the rule of docs/fine-tuning.md, and what it says stays.
@Suite struct TuningRuleTests {
    private static func chosen(
        _ more: String = "", examples: Int, tokens: Int = 0, method: TuningConfig.Method = .supervised,
        adapter: Bool = false, width: Int = 1024
    ) throws -> Recipe {
        let text = "name: t\nbase: tiny\ndata: {source: x}\n\(more)"
        let result = try RecipeReader.read(text: text, file: "recipe.yaml")
        return Hyperparameters(
            result.recipe, tree: result.tree,
            .init(
                examples: examples, tokens: tokens == 0 ? examples * 100 : tokens, method: method, isAdapter: adapter,
                width: width)
        ).recipe
    }

    @Test(arguments: [
        (1, 25), (10, 10), (33, 4), (34, 3), (100, 3), (8333, 3), (8334, 2), (20_000, 1), (1_000_000, 1),
    ]) func `passes by the number of examples`(examples: Int, epochs: Int) throws {
        #expect(try Self.chosen(examples: examples).training.epochs == epochs)
    }

    @Test(arguments: [
        (1, 100, 1), (63, 100, 1), (64, 100, 2), (500, 100, 8), (100_000, 100, 64), (100_000, 2_000, 8),
        (10, 100_000, 1),
    ]) func `batches by examples and their length`(examples: Int, length: Int, size: Int) throws {
        #expect(try Self.chosen(examples: examples, tokens: examples * length).training.batchSize == size)
    }

    @Test func `learning rates by width, method and adapter`() throws {
        func rate(_ method: TuningConfig.Method, _ adapter: Bool, _ width: Int, _ more: String = "") throws -> Double {
            try Self.chosen(more, examples: 100, method: method, adapter: adapter, width: width)
                .training.optimizer.learningRate
        }
        #expect(try rate(.supervised, false, 1000) == 5e-5)
        #expect(try abs(rate(.supervised, true, 1000) - 5e-4) < 1e-12)
        #expect(try rate(.supervised, false, 10) == 1e-3)
        #expect(try rate(.supervised, true, 10) == 5e-3)
        #expect(try rate(.supervised, false, 100_000) == 5e-6)
        #expect(try abs(rate(.dpo, false, 1000) - 2.5e-6) < 1e-15)
        #expect(try abs(rate(.supervised, false, 1000, "tuning: {learning_rate_multiplier: 2}") - 1e-4) < 1e-15)
    }

    @Test func `what is written stays`() throws {
        let recipe = try Self.chosen(
            """
            training: {epochs: 7, batch_size: 3, clip_norm: 0.5, schedule: linear, optimizer: {type: sgd, learning_rate: 0.2}}
            """, examples: 1000)
        let training = recipe.training
        #expect(training.epochs == 7 && training.batchSize == 3 && training.clipNorm == 0.5)
        #expect(training.schedule.type == .linear && training.optimizer.type == .sgd)
        #expect(training.optimizer.learningRate == 0.2)
    }

    @Test func `the rest is adamw without decay, a cosine and clipping at 1`() throws {
        let training = try Self.chosen(examples: 1000).training
        #expect(training.optimizer.type == .adamw && training.optimizer.weightDecay == 0 && training.clipNorm == 1)
        // 3 passes of 63 steps.
        #expect(training.schedule == ScheduleConfig(type: .cosine, warmupSteps: 5))
    }
}
