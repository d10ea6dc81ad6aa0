import MartletNN
import MartletTensor
import MartletWire

// N tokens of all texts side by side, R texts, D width, L labels

/// A model that reads whole texts and writes none: embeddings, classes of texts, or where in a text an answer stands.
///
/// Texts lie side by side without padding, so that a text's result does not hang on its neighbours.
public final class TextEncoder: Module {
    /// What a model's last layers give.
    public enum Task: Sendable, Equatable {
        /// Hidden states, to be pooled.
        case embedding
        /// Scores of these labels for each text.
        case classification(labels: [String])
        /// Scores for each token of being an answer's first and last.
        case questionAnswering
    }

    /// How a text's hidden states become one vector.
    public enum Pooling: String, Sendable, Codable, CaseIterable {
        case mean, first, last, max

        /// One text's hidden states [N, D] → [D].
        public func vector(of hidden: Tensor) throws -> Tensor {
            switch self {
            case .mean: try hidden.mean([0])
            case .first: try hidden.select(0, 0)
            case .last: try hidden.select(0, hidden.size(0) - 1)
            case .max: try hidden.max([0])
            }
        }
    }

    public let task: Task
    public let width: Int
    public let vocabularyCount: Int
    /// Most tokens of a text.
    public let contextLength: Int
    let base: BERT.Body
    let classifier: Head?
    let qa_outputs: Linear?
    public let renames: [String: String]
    private let attentionDropout: Double

    /// The layers after the encoder that give the labels' scores.
    final class Head: Module {
        let dense: Linear?
        let out_proj: Linear
        let renames: [String: String]

        init(_ config: BERT.Config, labels: Int, isRoberta: Bool) throws {
            dense = isRoberta ? try Linear(config.width, config.width, bias: true, std: config.std) : nil
            out_proj = try Linear(config.width, labels, bias: true, std: config.std)
            renames = isRoberta ? [:] : ["out_proj": ""]
        }
    }

    init(_ config: BERT.Config, _ task: Task, isRoberta: Bool, hasPooler: Bool) throws {
        self.task = task
        width = config.width
        vocabularyCount = config.vocabularyCount
        contextLength = config.positionCount - config.firstPosition
        attentionDropout = config.attentionDropout
        base = try BERT.Body(config, hasPooler: hasPooler)
        if case .classification(let labels) = task {
            classifier = try Head(config, labels: labels.count, isRoberta: isRoberta)
        } else {
            classifier = nil
        }
        qa_outputs = task == .questionAnswering ? try Linear(config.width, 2, bias: true, std: config.std) : nil
        renames = ["base": isRoberta ? "roberta" : "bert"]
    }

    /// Groups of linear layers in the order of use, for serving to pack.
    public var linearGroups: [LinearGroup] { base.encoder.layer.flatMap(\.linearGroups) }

    /// Files of the plain model have no prefix before its parts; old ones name norms otherwise; the heads that were
    /// only for training are left aside.
    public var checkpoint: CheckpointMap {
        let prefix = (renames["base"] ?? "") + "."
        let hasPooler = base.pooler != nil
        return CheckpointMap(
            parameterName: { name in
                var name = name
                for (old, new) in [(".gamma", ".weight"), (".beta", ".bias")] where name.hasSuffix(old) {
                    name = name.dropLast(old.count) + new
                }
                let parts = ["embeddings.", "encoder.", "pooler."]
                return parts.contains { name.hasPrefix($0) } ? prefix + name : name
            },
            isIgnored: { name in
                name.hasSuffix("embeddings.position_ids") || name.hasSuffix("embeddings.token_type_ids")
                    || name.hasPrefix("cls.") || name.hasPrefix("lm_head.")
                    || !hasPooler && (name.hasPrefix("pooler.") || name.hasPrefix(prefix + "pooler."))
            })
    }

    /// The last hidden states of texts side by side.
    /// - Parameters:
    ///   - tokens: [N] int64, N the sum of `lengths`.
    ///   - types: [N] int64, which of two parts a token belongs to; nil is the first for all.
    /// - Returns: [N, D].
    public func hidden(_ tokens: Tensor, types: Tensor? = nil, lengths: [Int], _ forward: Forward) throws -> Tensor {
        if let longest = lengths.max(), longest > contextLength {
            throw MartletError(
                .invalidRequest, "a text of \(longest) tokens is longer than the \(contextLength) that the model reads")
        }
        let attention = try SequenceAttention(
            lengths: lengths, causal: false, dropout: attentionDropout, forward, device: tokens.device)
        var x_ND = try base.embeddings(tokens, types, attention.positions, forward)
        for layer in base.encoder.layer { x_ND = try layer(x_ND, attention, forward) }
        return x_ND
    }

    /// One vector for each text: [N, D] → [R, D].
    public func pool(_ hidden: Tensor, lengths: [Int], _ pooling: Pooling) throws -> Tensor {
        let texts = try hidden.split(lengths)
        return try Tensor.stack(texts.map { try pooling.vector(of: $0) })
    }

    /// BERT's own vector of each text, from its first token: [N, D] → [R, D].
    /// - Throws: `MartletError` where the model has no layer for that.
    public func pooled(_ hidden: Tensor, lengths: [Int], _ forward: Forward) throws -> Tensor {
        guard let pooler = base.pooler else {
            throw MartletError(.invalidRequest, "the model has no pooling layer of its own")
        }
        return try pooler.dense(pool(hidden, lengths: lengths, .first), forward).tanh()
    }

    /// Scores of the labels: [N, D] → [R, L].
    public func classify(_ hidden: Tensor, lengths: [Int], _ forward: Forward) throws -> Tensor {
        guard let classifier else { throw MartletError(.invalidRequest, "the model has no classes") }
        if let dense = classifier.dense {
            return try classifier.out_proj(
                dense(pool(hidden, lengths: lengths, .first), forward).tanh(), forward)
        }
        return try classifier.out_proj(pooled(hidden, lengths: lengths, forward), forward)
    }

    /// Scores of being an answer's first and last token: [N, D] → [N, 2].
    public func answers(_ hidden: Tensor, _ forward: Forward) throws -> Tensor {
        guard let qa_outputs else { throw MartletError(.invalidRequest, "the model does not answer from texts") }
        return try qa_outputs(hidden, forward)
    }
}
