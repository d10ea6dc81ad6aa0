import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

// R rows, T tokens of a row, N = R·T, V vocabulary

/// A decoder that learns to predict the next token of a long text.
///
/// A row is a window of T tokens. An epoch cuts the text into windows that do not overlap, from a start of its own, so
/// every token is seen about once an epoch, and each time with other neighbours in its window.
public final class LanguageObjective: TrainingObjective {
    private let model: any LanguageModel
    private let data: TokenData
    private let length: Int
    private let seed: UInt64
    private let dropout: Double
    private let device: Device
    private let sampler: () throws -> String?
    private let goOn: () throws -> Void
    private var order: [Int64]?
    private var start = 0

    private static let validationRows = 32

    /// - Parameters:
    ///   - length: tokens of a window.
    ///   - goOn: asked between the parts of long work; throws where it is to end.
    ///   - sampler: writes a text with the model as it is, for the job's events.
    /// - Throws: `invalidData` where the texts are shorter than two windows.
    public init(
        model: any LanguageModel, data: TokenData, length: Int, seed: UInt64, dropout: Double = 0,
        device: Device = .cpu, goOn: @escaping () throws -> Void = {},
        sampler: @escaping () throws -> String? = { nil }
    ) throws {
        guard data.train.count >= 2 * length else {
            throw MartletError(
                .invalidData,
                "the training texts have \(data.train.count) tokens, fewer than twice the context of \(length); give more "
                    + "text or lower model.context", param: "model.context")
        }
        self.model = model
        self.data = data
        self.length = length
        self.seed = seed
        self.dropout = dropout
        self.device = device
        self.sampler = sampler
        self.goOn = goOn
    }

    public var module: any Module { model }
    /// Windows of an epoch, whatever its start; each has a target after its last token.
    public var rowCount: Int { (data.train.count - length) / length }
    public var unit: (name: String, perRow: Int) { ("tokens", length) }
    public var batchAccuracy: Double? { nil }

    public func begin(epoch: Int, shuffled: Bool) throws {
        let key = RandomKey(seed: seed, purpose: RandomPurpose.shuffling, step: UInt64(epoch))
        order = shuffled ? key.permutation(rowCount) : nil
        let other = RandomKey(seed: seed, purpose: RandomPurpose.shuffling, step: UInt64(epoch), stream: 1)
        start = shuffled ? Int((other.uniform(1).first ?? 0) * Double(length)) : 0
    }

    public func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor] {
        if forward.part > 0 { try goOn() }
        let starts = places.map { place in start + (order.map { Int($0[place]) } ?? place) * length }
        return [try loss(of: data.train, starts, length, forward)]
    }

    /// The mean over the tokens of windows of `length` tokens that begin at these places.
    private func loss(
        of tokens: TokenSequence, _ starts: [Int], _ length: Int, _ forward: Forward
    ) throws -> Tensor {
        let count = starts.count * length
        var targets = [Int64](repeating: 0, count: count)
        let inputs = [Int64](unsafeUninitializedCapacity: count) { buffer, filled in
            guard let to = buffer.baseAddress else { return }
            targets.withUnsafeMutableBufferPointer { next in
                guard let after = next.baseAddress else { return }
                for (row, start) in starts.enumerated() {
                    tokens.copy(start, length, to: to + row * length)
                    tokens.copy(start + 1, length, to: after + row * length)
                }
            }
            filled = count
        }
        let attention = try SequenceAttention(
            rows: starts.count, length: length, dropout: dropout, forward, device: device)
        let hidden = try model.hidden(Tensor(inputs, shape: [count], device: device), attention, forward)
        return try Loss.crossEntropy(
            model.logits(hidden, forward), Tensor(targets, shape: [count], device: device))
    }

    /// The logits [T, V] of a sequence of at most the context's length.
    public func logits(_ tokens: [Int64]) throws -> Tensor {
        try Tensor.inference {
            let attention = try SequenceAttention(
                rows: 1, length: tokens.count, dropout: 0, .inference(), device: device)
            let input = try Tensor(tokens, shape: [tokens.count], device: device)
            return try model.logits(model.hidden(input, attention, .inference()), .inference())
        }
    }

    public func validate() throws -> [String: Double]? {
        data.validation.count > 1 ? try measure(data.validation) : nil
    }

    public func sample() throws -> String? { try sampler() }

    /// `loss`, the mean over all whole windows (or over one shorter one), and `perplexity`.
    public func measure(_ tokens: TokenSequence) throws -> [String: Double] {
        guard tokens.count > 1 else { throw MartletError(.invalidData, "there are no tokens to measure on") }
        let length = min(length, tokens.count - 1)
        let rows = (tokens.count - 1) / length
        var sum = 0.0
        for first in stride(from: 0, to: rows, by: Self.validationRows) {
            try goOn()
            let starts = (first..<min(first + Self.validationRows, rows)).map { $0 * length }
            sum +=
                try Tensor.inference { try self.loss(of: tokens, starts, length, .inference()).item() }
                * Double(starts.count)
        }
        let mean = sum / Double(rows)
        return ["loss": mean, "perplexity": exp(mean)]
    }
}
