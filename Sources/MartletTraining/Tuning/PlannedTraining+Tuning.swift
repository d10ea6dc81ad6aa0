import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

extension TrainingPlan {
    /// What a fine-tuning recipe will change of its base, and with which hyperparameters.
    public struct Tuning: Codable, Sendable {
        public var method: String
        /// Numbers that training changes; the others are frozen.
        public var trainedParameters: Int
        /// The base's parts with numbers that training changes, and how many: `model.layers.0`.
        public var trainedLayers: [String: Int]
        public var trainTokens: Int
        /// Tokens that the loss is on.
        public var learntTokens: Int
        /// As the job's event `hyperparameters` tells them, with what was chosen by `auto`.
        public var hyperparameters: JSON

        enum CodingKeys: String, CodingKey {
            case method, trainedParameters = "trained_parameters", trainedLayers = "trained_layers"
            case trainTokens = "train_tokens", learntTokens = "learnt_tokens", hyperparameters
        }
    }
}

extension PlannedTraining {
    /// A base and its examples, prepared as the job prepares them, in the task's folder.
    public init(tuning task: TrainTask) throws {
        residentBytesBefore = ProcessMemory.residentBytes
        let link = JobLink(event: { _ in }, progress: { _ in }, stop: { nil })
        guard let base = task.base, let made = try TrainJob(task, link: link).tuning(of: base) else {
            throw MartletError(.invalidRecipe, "the recipe names no base to train further", param: "base")
        }
        session = try TrainingSession(made.objective, config: made.chosen.recipe.training)
        layers = made.layers
        rows = [.train: made.objective.rowCount, .validation: made.data.validation.count]
        var trained: [String: Int] = [:]
        for item in made.tuned.module.parameters() {
            let part = made.layers.first { item.name == $0.name || item.name.hasPrefix($0.name + ".") }?.name
            trained[part ?? item.name, default: 0] += item.parameter.value.count
        }
        tuning = TrainingPlan.Tuning(
            method: (made.chosen.recipe.tuning?.method ?? .supervised).rawValue,
            trainedParameters: made.tuned.trainedCount, trainedLayers: trained,
            trainTokens: made.data.train.tokenCount, learntTokens: made.data.facts.learntTokens,
            hyperparameters: made.chosen.facts)
    }
}
