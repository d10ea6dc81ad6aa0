import MartletModels
import MartletNN
import MartletTensor

// N tokens of a pass, D width, V vocabulary

/// What one pass needs of a served model: its layers, the cache and the adapters. Lives on the compute thread.
final class LanguagePass {
    /// A row of the scheduler with the adapter that it goes through.
    struct Row {
        var row: LanguageScheduler.Row
        var adapter: AdapterWeights?
    }

    private let model: any LanguageModel
    private let attention: PagedAttention
    private let adapters: AdapterPass

    init(_ model: any LanguageModel, _ adapters: AdapterPass, pageCount: Int, cache: ScalarType) throws {
        self.model = model
        self.adapters = adapters
        attention = try PagedAttention(model.geometry, pageCount: pageCount, type: cache)
    }

    /// The last hidden states [N, D] of rows' tokens, whose keys and values are in the cache then.
    func hidden(_ rows: [Row]) throws -> Tensor {
        try attention.begin(rows.map(\.row))
        adapters.begin(rows.map { ($0.adapter, $0.row.tokens.count) })
        let tokens = try Tensor(rows.flatMap { $0.row.tokens.map(Int64.init) })
        return try model.hidden(tokens, attention, .inference())
    }

    /// The last hidden states [N, D] of one text by itself, without the cache.
    func hidden(alone tokens: [Int32], _ adapter: AdapterWeights?) throws -> Tensor {
        let attention = try SequenceAttention(lengths: [tokens.count])
        adapters.begin([(adapter, tokens.count)])
        return try model.hidden(Tensor(tokens.map(Int64.init)), attention, .inference())
    }

    /// The logits [N, V] of hidden states, of which each adapter has so many, in order.
    func logits(_ hidden: Tensor, _ parts: [(adapter: AdapterWeights?, count: Int)]) throws -> Tensor {
        adapters.begin(parts)
        return try model.logits(hidden, .inference()).to(.float32).contiguous()
    }
}
