import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

// N tokens of all sequences side by side, M learnt tokens, V vocabulary

/// A base as it is tuned: all of its weights, or an adapter beside frozen ones.
package final class TunedModel {
    package let model: any LanguageModel
    package let adapter: LanguageAdapter?
    let folder: ModelFolder
    let device: Device

    /// What is trained and saved.
    package var module: any Module { adapter ?? model as any Module }

    /// - Parameters:
    ///   - adapterPath: an adapter that is trained further.
    ///   - seed: of an adapter's first values.
    package init(
        base: String, adapter config: LanguageAdapter.Config?, precision: AdapterRecipe.BasePrecision = .float32,
        adapterPath: String? = nil, seed: UInt64 = 0, device: Device = .cpu
    ) throws {
        let bundle = try LanguageBundle.load(URL(filePath: base), device: device)
        model = bundle.model
        folder = bundle.folder
        self.device = device
        guard let config else {
            adapter = nil
            return
        }
        let made = try LanguageAdapter(bundle.model, config, precision: precision)
        try made.initialize(seed: seed)
        if let adapterPath { try made.load(from: adapterPath) }
        try made.move(to: device)
        adapter = made
    }

    /// How many numbers training changes.
    var trainedCount: Int { module.parameterCount }

    /// The logits before each learnt token, those tokens, and how many of them each example has.
    package func learntLogits(
        _ examples: [TokenExample], _ forward: Forward
    ) throws -> (logits_MV: Tensor, targets: Tensor, counts: [Int]) {
        var rows: [Int64] = []
        var targets: [Int64] = []
        var counts: [Int] = []
        var start = 0
        for example in examples {
            let before = rows.count
            for place in example.tokens.indices.dropFirst() where example.isLearnt[place] {
                rows.append(Int64(start + place - 1))
                targets.append(example.tokens[place])
            }
            counts.append(rows.count - before)
            start += example.tokens.count
        }
        let hidden_ND = try hidden(examples.map(\.tokens), forward)
        let picked = try hidden_ND.indexSelect(0, Tensor(rows, shape: [rows.count], device: device))
        return (
            try model.logits(picked, forward), try Tensor(targets, shape: [targets.count], device: device), counts
        )
    }

    /// All logits of one sequence [N, V].
    func logits(_ tokens: [Int64]) throws -> Tensor {
        try Tensor.inference { try model.logits(hidden([tokens], .inference()), .inference()).to(.float32) }
    }

    /// The logits after the last token of each sequence of a pass.
    func nextLogits(_ tokens: [Int64], _ attention: GrowingAttention) throws -> [[Float]] {
        try Tensor.inference {
            let hidden_ND = try hidden(tokens, attention, .inference())
            let ends = attention.ends
            let last = try hidden_ND.indexSelect(0, Tensor(ends, shape: [ends.count], device: device))
            let logits = try model.logits(last, .inference()).to(.float32).array(of: Float.self)
            let width = logits.count / max(1, ends.count)
            return ends.indices.map { Array(logits[$0 * width..<($0 + 1) * width]) }
        }
    }

    private func hidden(_ sequences: [[Int64]], _ forward: Forward) throws -> Tensor {
        let attention = try SequenceAttention(
            lengths: sequences.map(\.count), dropout: model.attentionDropout, forward, device: device)
        return try hidden(sequences.flatMap { $0 }, attention, forward)
    }

    private func hidden(_ tokens: [Int64], _ attention: any TokenAttention, _ forward: Forward) throws -> Tensor {
        adapter?.pass.forward = forward
        return try model.hidden(Tensor(tokens, shape: [tokens.count], device: device), attention, forward)
    }
}
