import Foundation
import MartletWire

extension Preprocessing {
    /// Answers in the data's own terms, one object a row.
    ///
    /// `scores` has, by output name, the model's raw result row by row: logits of a category (one a label), the logit
    /// of a boolean, scaled values of a number or vector, logits of each token of a sequence. A category gives
    /// `label`, `label_probability` and `label_probabilities`; a boolean its value and `…_probability` of true.
    public func predictions(scores: [String: [Float]], count: Int) throws -> [JSONObject] {
        var rows = [JSONObject](repeating: JSONObject(), count: count)
        for target in targets {
            let values = try checkedScores(target, scores, count)
            let width = count > 0 ? values.count / count : 0
            for row in 0..<count {
                let slice = values[(row * width)..<((row + 1) * width)]
                Self.describe(target, slice, into: &rows[row])
            }
        }
        return rows
    }

    /// The scores of one output, as many as its rows need.
    func checkedScores(_ target: FittedFeature, _ scores: [String: [Float]], _ count: Int) throws -> [Float] {
        guard let values = scores[target.name] else {
            throw MartletError(.internal, "the model gave no result for the output '\(target.name)'")
        }
        let width: Int =
            switch target.kind {
            case .category: target.categories.count
            case .vector: target.length
            case .sequence: target.categories.count * target.length
            default: 1
            }
        guard values.count == width * count else {
            throw MartletError(
                .internal,
                "the model gave \(values.count) values for the output '\(target.name)' where \(width * count) belong")
        }
        return values
    }

    private static func describe(_ target: FittedFeature, _ values: ArraySlice<Float>, into row: inout JSONObject) {
        let name = target.name
        switch target.kind {
        case .category:
            let probabilities = Probability.softmax(values)
            let best = Probability.best(probabilities)
            row[name] = .string(target.categories[best])
            row[name + "_probability"] = .double(Probability.rounded(probabilities[best]))
            row[name + "_probabilities"] = .object(
                JSONObject(zip(target.categories, probabilities.map { JSON.double(Probability.rounded($0)) })))
        case .boolean:
            let probability = Probability.sigmoid(values.first ?? 0)
            row[name] = .bool(probability >= 0.5)
            row[name + "_probability"] = .double(Probability.rounded(probability))
        case .vector:
            row[name] = .array(values.enumerated().map { .double(target.restored($1, $0)) })
        case .sequence:
            let labels = target.categories.count
            row[name] = .array(
                (0..<target.length).map { position in
                    let start = values.startIndex + position * labels
                    let scores = values[start..<(start + labels)].map(Double.init)
                    return .string(target.categories[Probability.best(scores)])
                })
        default: row[name] = .double(target.restored(values.first ?? 0, 0))
        }
    }
}

extension Preprocessing {
    /// The labels of an output, in the order of the model's scores; none for a number or vector.
    public func labels(of output: String) -> [String] {
        guard let target = targets.first(where: { $0.name == output }) else { return [] }
        return target.kind == .boolean ? ["false", "true"] : target.categories
    }

    /// Scaled values of a number or vector output, row-major, in the data's own units.
    public func original(_ output: String, _ values: [Float]) -> [Double] {
        guard let target = targets.first(where: { $0.name == output }), !target.scale.isEmpty else {
            return values.map(Double.init)
        }
        return values.enumerated().map { target.restored($1, $0 % target.scale.count) }
    }
}

/// From logits to probabilities.
enum Probability {
    static func softmax(_ logits: ArraySlice<Float>) -> [Double] {
        let top = Double(logits.max() ?? 0)
        let powers = logits.map { exp(Double($0) - top) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    static func sigmoid(_ logit: Float) -> Double { 1 / (1 + exp(-Double(logit))) }

    /// The first of the largest.
    static func best(_ values: [Double]) -> Int {
        var best = 0
        for index in values.indices where values[index] > values[best] { best = index }
        return best
    }

    /// To six digits, which is what float32 is good for.
    static func rounded(_ value: Double) -> Double { (value * 1e6).rounded() / 1e6 }
}
