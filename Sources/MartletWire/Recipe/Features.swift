/// One typed input of a model.
public struct InputConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case number, category, boolean, text, image, audio, sequence, vector, datetime
    }
    public enum Normalization: String, Codable, Sendable, CaseIterable {
        case zscore, minmax, log, none
    }

    public var name: String = ""
    public var type: Kind = .number
    /// The data's column; nil means the input's name. For a vector, the columns in order: names, or a range as in
    /// `x{0..9}`; empty means one column that holds a list.
    public var column: String?
    public var columns: [String] = []
    public var encoder: EncoderConfig?
    /// number, vector, image; nil means zscore for number and vector, and scaling to 0…1 for image.
    public var normalize: Normalization?
    /// text: `word`, `character`; sequence: `space`. How a cell is cut into tokens.
    public var tokenizer: Tokenizer?
    /// text, sequence, category: the most entries that the vocabulary keeps, by frequency.
    public var vocabularySize: Int = 20_000
    /// text, sequence: longer ones are cut, and the profile says how many.
    public var maxLength: Int = 256
    /// image: height and width to which images are scaled; nil takes the first image's.
    public var size: [Int]?
    /// image: 1 grey, 3 colour; nil takes the first image's.
    public var channels: Int?

    public enum Tokenizer: String, Codable, Sendable, CaseIterable { case word, character, space }

    public init() {}

    enum CodingKeys: String, CodingKey {
        case name, type, column, columns, encoder, normalize, tokenizer, vocabularySize = "vocabulary_size"
        case maxLength = "max_length", size, channels
    }
}

/// One typed output of a model.
public struct OutputConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case number, category, boolean, vector, sequence, text
    }
    public var name: String = ""
    public var type: Kind = .category
    public var column: String?
    public var columns: [String] = []
    public var loss: LossConfig?
    /// Applied to the last layer's result (number and vector only; categories have softmax in the loss).
    public var activation: Activation = .none
    /// number, vector: targets are scaled for training and answers are scaled back; nil means zscore without an
    /// activation, none with one.
    public var normalize: InputConfig.Normalization?
    /// How much this output's loss weighs in the sum.
    public var weight: Double = 1

    public init() {}
}

/// A loss and its settings; which one suits which output is checked by the reader.
public struct LossConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case crossEntropy = "cross_entropy", binaryCrossEntropy = "binary_cross_entropy", mse, mae, huber
    }
    public enum ClassWeights: String, Codable, Sendable, CaseIterable { case none, balanced }
    public var type: Kind = .crossEntropy
    /// cross_entropy: `balanced` weighs each class by rows / (classes · rows of the class).
    public var classWeights: ClassWeights = .none
    public var labelSmoothing: Double = 0
    /// huber: where the quadratic part ends.
    public var delta: Double = 1
    public init(type: Kind = .crossEntropy) { self.type = type }

    enum CodingKeys: String, CodingKey {
        case type, classWeights = "class_weights", labelSmoothing = "label_smoothing", delta
    }
}

/// How one input becomes a vector (or a sequence of vectors).
public struct EncoderConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The input as it is (categories: one-hot).
        case passthrough
        /// Dense layers (of the one-hot or embedded input).
        case dense
        /// A learned vector for each category or token; tokens are averaged.
        case embedding
        case cnn, rnn, lstm, gru, transformer
    }
    /// How a sequence becomes one vector.
    public enum Reduction: String, Codable, Sendable, CaseIterable { case last, mean, max, none }

    public var type: Kind = .passthrough
    /// dense: widths.
    public var widths: [Int] = []
    public var activation: Activation = .relu
    public var dropout: Double = 0
    public var bias: Bool = true
    /// cnn: output channels of each convolution; one kernel, pool, padding for all or one for each.
    public var channels: [Int] = [32, 64]
    public var kernel: [Int] = [3]
    /// 1 does not pool.
    public var pool: [Int] = [1]
    public var padding: [Int] = [0]
    public var stride: [Int] = [1]
    public var norm: Norm = .none
    /// embedding, rnn, lstm, gru, transformer over tokens: width of a token's vector.
    public var embeddingSize: Int = 64
    /// rnn, lstm, gru: width of the state; transformer: of the feed-forward layer.
    public var hidden: Int = 128
    /// rnn, lstm, gru, transformer: stacked layers.
    public var layers: Int = 1
    public var bidirectional: Bool = false
    public var heads: Int = 4
    public var reduce: Reduction?

    public enum Norm: String, Codable, Sendable, CaseIterable { case none, batch, group, layer }

    public init(type: Kind = .passthrough) { self.type = type }

    enum CodingKeys: String, CodingKey {
        case type, widths, activation, dropout, bias, channels, kernel, pool, padding, stride, norm
        case embeddingSize = "embedding_size", hidden, layers, bidirectional, heads, reduce
    }
}
