import MartletNN
import MartletTensor

// N tokens of all sequences side by side, D width, V vocabulary

/// A decoder that predicts the next token: trained, imported and served through these two functions.
public protocol LanguageModel: Module {
    var geometry: LanguageGeometry { get }

    /// Groups of linear layers in the order of use, for serving to pack.
    var linearGroups: [LinearGroup] { get }

    /// tokens [N] int64 → the last hidden states [N, D], after the final norm.
    func hidden(_ tokens: Tensor, _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor

    /// Hidden states [M, D] → [M, V]. Serving asks only for the rows that it samples from.
    func logits(_ hidden: Tensor, _ forward: Forward) throws -> Tensor

    /// How the tensors of a checkpoint differ from the parameters.
    var checkpoint: CheckpointMap { get }

    /// Dropout of the attention's probabilities in training.
    var attentionDropout: Double { get }
}

extension LanguageModel {
    public var checkpoint: CheckpointMap { CheckpointMap() }
    public var attentionDropout: Double { 0 }
}

/// What a cache, a scheduler and a bill need to know of a model.
public struct LanguageGeometry: Sendable, Equatable {
    public var layerCount: Int
    public var headCount: Int
    /// Heads of keys and values.
    public var keyValueHeadCount: Int
    public var headSize: Int
    public var width: Int
    public var vocabularyCount: Int
    /// Most tokens of a prompt and its answer.
    public var contextLength: Int
    public init(
        layerCount: Int, headCount: Int, keyValueHeadCount: Int, headSize: Int, width: Int, vocabularyCount: Int,
        contextLength: Int
    ) {
        self.layerCount = layerCount
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headSize = headSize
        self.width = width
        self.vocabularyCount = vocabularyCount
        self.contextLength = contextLength
    }
}
