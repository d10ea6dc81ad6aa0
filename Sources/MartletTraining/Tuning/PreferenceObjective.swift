import Foundation
import MartletData
import MartletNN
import MartletTensor
import MartletWire

/// A model that learns to prefer one answer to another (DPO; Rafailov et al., 2023):
/// `-log σ(β·[(log π(a) - log ref(a)) - (log π(b) - log ref(b))])`, a the preferred answer, the mean over a step's pairs.
///
/// Example 2i of its data is the preferred conversation of pair i, 2i + 1 the other. The reference is the model as the
/// training began; its log probabilities are computed once.
package final class PreferenceObjective: TuningObjective {
    private let tuned: TunedModel
    private let train: TokenExamples
    private let validation: TokenExamples
    private let references: PreferenceReferences
    private let beta: Double
    private var order: ExampleOrder
    private var sums = Sums()
    private let goOn: () throws -> Void

    /// What a step's or a measurement's pairs add up to.
    private struct Sums {
        var loss = 0.0
        var right = 0
        var tokens = 0
        var preferred = 0
        var margin = 0.0
        var pairs = 0

        var metrics: [String: Double] {
            guard pairs > 0 else { return [:] }
            return [
                "mean_token_accuracy": Double(right) / Double(max(1, tokens)),
                "reward_accuracy": Double(preferred) / Double(pairs), "reward_margin": margin / Double(pairs),
            ]
        }

        static func += (sums: inout Sums, more: Sums) {
            sums.loss += more.loss
            sums.right += more.right
            sums.tokens += more.tokens
            sums.preferred += more.preferred
            sums.margin += more.margin
            sums.pairs += more.pairs
        }
    }

    init(
        _ tuned: TunedModel, train: TokenExamples, validation: TokenExamples, references: PreferenceReferences,
        beta: Double, seed: UInt64, goOn: @escaping () throws -> Void = {}
    ) {
        self.goOn = goOn
        self.tuned = tuned
        self.train = train
        self.validation = validation
        self.references = references
        self.beta = beta
        order = ExampleOrder(count: train.count / 2, seed: seed)
    }

    package var module: any Module { tuned.module }
    package var rowCount: Int { train.count / 2 }
    package var unit: (name: String, perRow: Int) { ("tokens", max(1, train.tokenCount / max(1, rowCount))) }
    package var batchAccuracy: Double? { sums.metrics["reward_accuracy"] }
    package var stepMetrics: [String: Double] { sums.metrics }
    package var tokensPerEpoch: Int { train.tokenCount }

    package func begin(epoch: Int, shuffled: Bool) throws { order.begin(epoch: epoch, shuffled: shuffled) }

    package func parts(of places: Range<Int>) -> [Range<Int>] {
        sums = Sums()
        return order.parts(of: places, vocabulary: tuned.model.geometry.vocabularyCount) { pair in
            (
                train.length(2 * pair) + train.length(2 * pair + 1),
                train.learntCount(2 * pair) + train.learntCount(2 * pair + 1)
            )
        }
    }

    package func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor] {
        if forward.part > 0 { try goOn() }
        let (loss, sums) = try loss(of: train, places.map { order.row($0) }, references.train, forward)
        self.sums += sums
        return [loss]
    }

    private func loss(
        of examples: TokenExamples, _ pairs: [Int], _ references: [Double], _ forward: Forward
    ) throws -> (Tensor, Sums) {
        let places = pairs.flatMap { [2 * $0, 2 * $0 + 1] }
        let (logits_MV, targets, counts) = try tuned.learntLogits(places.map { examples[$0] }, forward)
        let chances = try Self.chances(logits_MV, targets, counts)
        let reference = try Tensor(places.map { Float(references[$0]) }, shape: [places.count], device: tuned.device)
        let (loss, margins) = try Self.loss(chances: chances, reference: reference, beta: beta)
        var sums = Sums()
        try Tensor.withoutGradients {
            let detached = try margins.detach()
            sums.preferred = try detached.gt(0).to(.int64).sum().intItem()
            sums.margin = try detached.sum().item()
            sums.right = try logits_MV.detach().argmax(-1).eq(targets).to(.int64).sum().intItem()
            sums.tokens = counts.reduce(0, +)
            sums.pairs = pairs.count
        }
        return (loss, sums)
    }

    /// Σ log p of each example's learnt tokens [examples].
    package static func chances(_ logits_MV: Tensor, _ targets: Tensor, _ counts: [Int]) throws -> Tensor {
        let all = try Loss.crossEntropy(logits_MV, targets, .none)
        return try Tensor.stack(all.split(counts).map { try $0.sum() }).neg()
    }

    /// The mean of -log σ(margin), with the margins [pairs]; the preferred answer and the other take turns.
    package static func loss(
        chances: Tensor, reference: Tensor, beta: Double
    ) throws -> (loss: Tensor, margins: Tensor) {
        let ratios_P2 = try chances.sub(reference).reshape([-1, 2])
        let margins = try ratios_P2.select(1, 0).sub(ratios_P2.select(1, 1)).mul(beta)
        return (try margins.neg().softplus().mean(), margins)
    }

    package func validate() throws -> [String: Double]? {
        validation.count > 1 ? try measure(Array(0..<validation.count / 2), goOn) : nil
    }

    package func validationSample(step: Int, count: Int) throws -> [String: Double]? {
        let pairs = validation.count / 2
        guard pairs > 0 else { return nil }
        return try measure(Self.sampled(step: step, count: count, of: pairs))
    }

    private func measure(_ pairs: [Int], _ goOn: () throws -> Void = {}) throws -> [String: Double] {
        var all = Sums()
        for first in stride(from: 0, to: pairs.count, by: 8) {
            try goOn()
            let part = Array(pairs[first..<min(first + 8, pairs.count)])
            all += try Tensor.inference {
                let (loss, sums) = try self.loss(of: validation, part, references.validation, .inference())
                var found = sums
                found.loss = try loss.item() * Double(part.count)
                return found
            }
        }
        var metrics = all.metrics
        metrics["loss"] = all.loss / Double(max(1, all.pairs))
        return metrics
    }

    package func sample() throws -> String? { nil }
}

/// What the model said of each answer before its training: Σ log p of its learnt tokens, kept in the job's cache.
struct PreferenceReferences: Sendable, Equatable {
    let train: [Double]
    let validation: [Double]

    /// Reads them, or computes them with a model that has not been trained yet.
    /// - Parameter stop: asked now and then; true ends it with nil.
    static func prepare(
        _ tuned: TunedModel, _ data: TuningData, cacheDirectory: String, stop: () -> Bool
    ) throws -> PreferenceReferences? {
        let path = "\(cacheDirectory)/references.json"
        let (key, count) = (data.facts.key, data.train.count + data.validation.count)
        if let known = FileManager.default.contents(atPath: path),
            let stored = try? JSONDecoder.wire.decode(Stored.self, from: known), stored.key == key,
            stored.values.count == count
        {
            return PreferenceReferences(stored.values, data)
        }
        var values: [Double] = []
        values.reserveCapacity(count)
        for examples in [data.train, data.validation] {
            for place in 0..<examples.count {
                if place % 32 == 0, stop() { return nil }
                values.append(
                    try Tensor.inference {
                        let (logits, targets, counts) = try tuned.learntLogits([examples[place]], .inference())
                        return try PreferenceObjective.chances(logits, targets, counts).item()
                    })
            }
        }
        try DurableFile.write(try JSONEncoder.wire.encode(Stored(key: key, values: values)), to: path)
        return PreferenceReferences(values, data)
    }

    private struct Stored: Codable {
        var key: String
        var values: [Double]
    }

    private init(_ values: [Double], _ data: TuningData) {
        train = Array(values[..<data.train.count])
        validation = Array(values[data.train.count...])
    }
}
