import Foundation
import MartletData
import MartletNN
import MartletTensor
import MartletWire

/// What a tuning objective says of the rows of a step beside their loss.
package protocol TuningObjective: TrainingObjective {
    /// Of the last step: `mean_token_accuracy` and what else the method measures.
    var stepMetrics: [String: Double] { get }
    /// `loss` and the step's metrics over some validation rows, chosen by the step; nil where there are none.
    func validationSample(step: Int, count: Int) throws -> [String: Double]?
    /// Tokens that went through training in a pass over all rows.
    var tokensPerEpoch: Int { get }
}

extension TuningObjective {
    /// The places of a sample of `total` validation rows, the next ones with each step.
    static func sampled(step: Int, count: Int, of total: Int) -> [Int] {
        // The remainders first: a batch may be as large as a number can be.
        let start = step % total * (count % total)
        return (0..<min(count, total)).map { (start + $0) % total }
    }
}

/// Examples of different lengths in an epoch's order, cut into what one pass can hold.
struct ExampleOrder {
    private let seed: UInt64
    private let count: Int
    private var order: [Int64]?

    /// Tokens, and numbers of logits, of one pass.
    private static let tokenLimit = 8192
    private static let logitLimit = 1 << 26

    init(count: Int, seed: UInt64) {
        self.count = count
        self.seed = seed
    }

    mutating func begin(epoch: Int, shuffled: Bool) {
        let key = RandomKey(seed: seed, purpose: RandomPurpose.shuffling, step: UInt64(epoch))
        order = shuffled ? key.permutation(count) : nil
    }

    func row(_ place: Int) -> Int { order.map { Int($0[place]) } ?? place }

    /// Parts of a micro-batch that are small enough, each at least one row.
    func parts(
        of places: Range<Int>, vocabulary: Int, _ size: (Int) -> (tokens: Int, learnt: Int)
    ) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var (start, tokens, learnt) = (places.lowerBound, 0, 0)
        for place in places {
            let (more, moreLearnt) = size(row(place))
            let isTooMuch =
                tokens + more > Self.tokenLimit || (learnt + moreLearnt) > Self.logitLimit / max(1, vocabulary)
            if isTooMuch, place > start {
                parts.append(start..<place)
                (start, tokens, learnt) = (place, 0, 0)
            }
            tokens += more
            learnt += moreLearnt
        }
        return parts + [start..<places.upperBound]
    }
}

/// A model that learns what the assistant says: the mean of -log p over the learnt tokens of a step.
final class SupervisedObjective: TuningObjective {
    private let tuned: TunedModel
    private let train: TokenExamples
    private let validation: TokenExamples
    private var order: ExampleOrder
    private var right = 0
    private var seen = 0

    private static let validationRows = 16
    private let goOn: () throws -> Void

    /// - Parameter goOn: asked between the parts of long work; throws where it is to end.
    init(
        _ tuned: TunedModel, train: TokenExamples, validation: TokenExamples, seed: UInt64,
        goOn: @escaping () throws -> Void = {}
    ) {
        self.goOn = goOn
        self.tuned = tuned
        self.train = train
        self.validation = validation
        order = ExampleOrder(count: train.count, seed: seed)
    }

    var module: any Module { tuned.module }
    var rowCount: Int { train.count }
    var unit: (name: String, perRow: Int) { ("tokens", max(1, train.tokenCount / max(1, train.count))) }
    var batchAccuracy: Double? { seen > 0 ? Double(right) / Double(seen) : nil }
    var stepMetrics: [String: Double] { batchAccuracy.map { ["mean_token_accuracy": $0] } ?? [:] }
    var tokensPerEpoch: Int { train.tokenCount }

    func begin(epoch: Int, shuffled: Bool) throws { order.begin(epoch: epoch, shuffled: shuffled) }

    func weights(of places: Range<Int>) throws -> [Double] {
        [Double(places.reduce(0) { $0 + train.learntCount(order.row($1)) })]
    }

    func parts(of places: Range<Int>) -> [Range<Int>] {
        // A step begins here; its parts add to the same counts.
        (right, seen) = (0, 0)
        return order.parts(of: places, vocabulary: tuned.model.geometry.vocabularyCount) {
            (train.length($0), train.learntCount($0))
        }
    }

    func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor] {
        if forward.part > 0 { try goOn() }
        let (loss, right, count) = try loss(of: places.map { train[order.row($0)] }, forward)
        self.right += right
        seen += count
        return [loss]
    }

    private func loss(
        of examples: [TokenExample], _ forward: Forward
    ) throws -> (loss: Tensor, right: Int, count: Int) {
        let (logits_MV, targets, counts) = try tuned.learntLogits(examples, forward)
        let right = try Tensor.withoutGradients {
            try logits_MV.detach().argmax(-1).eq(targets).to(.int64).sum().intItem()
        }
        return (try Loss.crossEntropy(logits_MV, targets), right, counts.reduce(0, +))
    }

    func validate() throws -> [String: Double]? {
        validation.count > 0 ? try measure(validation, Array(0..<validation.count), goOn) : nil
    }

    func validationSample(step: Int, count: Int) throws -> [String: Double]? {
        guard validation.count > 0 else { return nil }
        return try measure(validation, Self.sampled(step: step, count: count, of: validation.count))
    }

    /// `loss` and `mean_token_accuracy` over the learnt tokens of some examples.
    func measure(
        _ examples: TokenExamples, _ rows: [Int], _ goOn: () throws -> Void = {}
    ) throws -> [String: Double] {
        var (sum, right, count) = (0.0, 0, 0)
        for first in stride(from: 0, to: rows.count, by: Self.validationRows) {
            try goOn()
            let part = rows[first..<min(first + Self.validationRows, rows.count)].map { examples[$0] }
            let found = try Tensor.inference {
                let (loss, right, count) = try self.loss(of: part, .inference())
                return (try loss.item(), right, count)
            }
            sum += found.0 * Double(found.2)
            right += found.1
            count += found.2
        }
        let total = Double(max(1, count))
        return ["loss": sum / total, "mean_token_accuracy": Double(right) / total]
    }

    func sample() throws -> String? { nil }
}
