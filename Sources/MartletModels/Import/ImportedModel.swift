import MartletNN
import MartletWire

/// A model of any kind that a folder can hold, as far as an import needs to know it.
struct ImportedModel {
    var module: any Module
    var checkpoint: CheckpointMap
    /// What it does: `generate`, `embed`, `classify`, `answer` or `translate`.
    var task: String
    var vocabularyCount: Int
    var contextLength: Int

    /// The model that a config names, without memory for its weights.
    init(config: JSON, tensors: [String]) throws {
        if TextEncoderCatalog.has(config) {
            let model = try Parameter.withoutMemory {
                try TextEncoderCatalog.make(config: config, hasPooler: EncoderBundle.hasPooler(tensors))
            }
            let task =
                switch model.task {
                case .embedding: "embed"
                case .classification: "classify"
                case .questionAnswering: "answer"
                }
            self.init(model, model.checkpoint, task, model.vocabularyCount, model.contextLength)
        } else if T5.has(config) {
            let model = try Parameter.withoutMemory {
                try T5.make(config: config, hasHead: tensors.contains(T5.headName))
            }
            self.init(
                model, model.checkpoint, "translate", model.vocabularyCount, model.geometry.contextLength)
        } else {
            let model = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: config) }
            self.init(
                model, model.checkpoint, "generate", model.geometry.vocabularyCount, model.geometry.contextLength)
        }
    }

    private init(
        _ module: any Module, _ checkpoint: CheckpointMap, _ task: String, _ vocabularyCount: Int, _ contextLength: Int
    ) {
        self.module = module
        self.checkpoint = checkpoint
        self.task = task
        self.vocabularyCount = vocabularyCount
        self.contextLength = contextLength
    }
}
