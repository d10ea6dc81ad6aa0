import MartletModels
import MartletNN
import MartletTensor

// N tokens of a pass, D width, V vocabulary

/// A row of the scheduler with what it goes through: an adapter, or the source that its answer is about.
struct PassRow {
    var row: LanguageScheduler.Row
    var adapter: AdapterWeights?
    var source: SourceAnswers?
}

/// What answers need of a model, pass after pass. Lives on the compute thread.
protocol AnswerPass: AnyObject {
    /// Tokens that every answer starts from, behind its prompt.
    var answerStart: [Int32] { get }

    /// Called between two layers.
    var betweenLayers: () -> Void { get set }

    /// The last hidden states [N, D] of rows' tokens, which the model knows from then on.
    func hidden(_ rows: [PassRow]) throws -> Tensor

    /// The last hidden states [N, D] of one text by itself.
    func hidden(alone tokens: [Int32], _ adapter: AdapterWeights?) throws -> Tensor

    /// The logits [N, V] of hidden states, of which each adapter has so many, in order.
    func logits(_ hidden: Tensor, _ parts: [(adapter: AdapterWeights?, count: Int)]) throws -> Tensor
}

/// A pass of a model that goes on with its prompt: its layers, the cache and the adapters.
final class LanguagePass: AnswerPass {
    let answerStart: [Int32] = []
    var betweenLayers: () -> Void = {}
    private let model: any LanguageModel
    private let attention: PagedAttention
    private let adapters: AdapterPass

    init(_ model: any LanguageModel, _ adapters: AdapterPass, pageCount: Int, cache: ScalarType) throws {
        self.model = model
        self.adapters = adapters
        attention = try PagedAttention(model.geometry, pageCount: pageCount, type: cache)
    }

    /// The keys and values of the tokens are in the cache then.
    func hidden(_ rows: [PassRow]) throws -> Tensor {
        try attention.begin(rows.map(\.row))
        adapters.begin(rows.map { ($0.adapter, $0.row.tokens.count) })
        let tokens = try Tensor(rows.flatMap { $0.row.tokens.map(Int64.init) })
        return try model.hidden(tokens, WatchedAttention(attention, betweenLayers), .inference())
    }

    /// Without the cache.
    func hidden(alone tokens: [Int32], _ adapter: AdapterWeights?) throws -> Tensor {
        let attention = try SequenceAttention(lengths: [tokens.count])
        adapters.begin([(adapter, tokens.count)])
        return try model.hidden(
            Tensor(tokens.map(Int64.init)), WatchedAttention(attention, betweenLayers), .inference())
    }

    func logits(_ hidden: Tensor, _ parts: [(adapter: AdapterWeights?, count: Int)]) throws -> Tensor {
        adapters.begin(parts)
        return try model.logits(hidden, .inference()).to(.float32).contiguous()
    }
}

/// Another attention, with word of each layer that begins.
private final class WatchedAttention: TokenAttention {
    private let inner: any TokenAttention
    private let begins: () -> Void

    init(_ inner: any TokenAttention, _ begins: @escaping () -> Void) {
        self.inner = inner
        self.begins = begins
    }

    var positions: Tensor { inner.positions }

    func attend(
        layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions
    ) throws -> Tensor {
        begins()
        return try inner.attend(layer: layer, q, k, v, options)
    }

    func attend(
        layer: Int, joined qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor {
        begins()
        return try inner.attend(layer: layer, joined: qkv, groups: groups, rotatedBy: angles, options)
    }
}
