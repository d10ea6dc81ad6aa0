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
    /// Why no vectors can be made of texts with it.
    var vectorFault: MartletError?

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
            let files = try DecoderFiles(config: config, tensors: tensors)
            let model = try files.make()
            self.init(
                model, files.checkpoint(of: model), files.isHeadless ? "embed" : "generate",
                model.geometry.vocabularyCount, model.geometry.contextLength)
            vectorFault = files.vectorFault
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
