import Foundation
import MartletData
import MartletWire

/// What a model makes of one row.
public enum TextResult: Sendable, Equatable {
    /// A probability for each label.
    case classes([Double])
    /// A number for each output.
    case numbers([Float])
    /// A part of the text, in Unicode scalars, and how probable it is.
    case answer(String, probability: Double, place: Range<Int>)

    /// The longest answer, in tokens, as `transformers` has it.
    private static let answerLimit = 15

    /// - Parameter scores: of each part of the row: the labels' scores, or the scores of each token of being an answer's
    ///   first, and then of being its last.
    init(_ task: TextTask, _ reading: TextReading, scores: [[Float]]) {
        switch task {
        case .classification(_, let isMultiLabel):
            let logits = (scores.first ?? []).map(Double.init)
            if isMultiLabel {
                self = .classes(logits.map { 1 / (1 + exp(-$0)) })
            } else {
                let top = logits.max() ?? 0
                let powers = logits.map { exp($0 - top) }
                let sum = powers.reduce(0, +)
                self = .classes(powers.map { $0 / sum })
            }
        case .regression: self = .numbers(scores.first ?? [])
        case .questionAnswering:
            var best = (probability: -1.0, place: 0..<0)
            for (part, scores) in zip(reading.parts, scores) {
                let found = Self.answer(part, scores)
                if found.probability > best.probability { best = found }
            }
            let text = Array(reading.text.unicodeScalars)
            let place = best.place.clamped(to: 0..<text.count)
            var answer = String.UnicodeScalarView()
            answer.append(contentsOf: text[place])
            self = .answer(String(answer), probability: max(0, best.probability), place: place)
        }
    }

    /// The first and last token whose probabilities' product is the greatest. Only the text's tokens can be either, and
    /// the probabilities are among them and the first token, which stands for no answer.
    private static func answer(
        _ part: TextReading.Part, _ scores: [Float]
    ) -> (probability: Double, place: Range<Int>) {
        let count = part.tokens.count
        func probabilities(_ scores: ArraySlice<Float>) -> [Double] {
            let scores = Array(scores)
            let own = Array(scores[part.candidates])
            let top = Double(max(own.max() ?? 0, scores[0]))
            let powers = own.map { exp(Double($0) - top) }
            let sum = powers.reduce(exp(Double(scores[0]) - top), +)
            return powers.map { $0 / sum }
        }
        let (starts, ends) = (probabilities(scores[..<count]), probabilities(scores[count...]))
        var best = (probability: -1.0, first: 0, last: 0)
        for first in starts.indices {
            for last in first..<min(first + answerLimit, ends.count) where starts[first] * ends[last] > best.probability
            {
                best = (starts[first] * ends[last], first, last)
            }
        }
        let (from, to) = (part.places[best.first].lowerBound, part.places[best.last].upperBound)
        return (best.probability, from..<max(from, to))
    }

    /// The row as `predict` gives it.
    func object(_ task: TextTask) -> JSONObject {
        var row = JSONObject()
        switch (self, task) {
        case (.classes(let probabilities), .classification(let labels, _)):
            let best = Self.best(probabilities)
            row["label"] = .string(labels[best])
            row["label_probability"] = .double(Self.rounded(probabilities[best]))
            var all = JSONObject()
            for (label, probability) in zip(labels, probabilities) { all[label] = .double(Self.rounded(probability)) }
            row["label_probabilities"] = .object(all)
        case (.answer(let text, let probability, let place), _):
            row["answer"] = .string(text)
            row["answer_probability"] = .double(Self.rounded(probability))
            row["start"] = JSON(place.lowerBound)
            row["end"] = JSON(place.upperBound)
        case (.numbers(let numbers), .regression(let outputs)):
            // As short as float32 is; a number that is none is refused before.
            let values = numbers.map { JSON.double(Double($0.description) ?? Double($0)) }
            if outputs.count == 1 {
                row["value"] = values.first
            } else {
                row["values"] = .object(JSONObject(zip(outputs, values)))
            }
        case (.classes, _), (.numbers, _): break
        }
        return row
    }

    /// The rows as the Open Inference Protocol's tensors.
    static func tensors(_ results: [TextResult], _ task: TextTask) -> [(name: String, tensor: RawTensor)] {
        let count = results.count
        switch task {
        case .classification(let labels, _):
            let rows: [[Double]] = results.map {
                if case .classes(let probabilities) = $0 { probabilities } else { [] }
            }
            return [
                ("label", RawTensor(shape: [count], values: .strings(rows.map { Array(labels[best($0)].utf8) }))),
                (
                    "label_probabilities",
                    RawTensor(shape: [count, labels.count], values: .floats(rows.flatMap { $0.map { Float($0) } }))
                ),
            ]
        case .regression(let outputs):
            let numbers = results.flatMap { if case .numbers(let numbers) = $0 { numbers } else { [Float]() } }
            return outputs.count == 1
                ? [("value", RawTensor(shape: [count], values: .floats(numbers)))]
                : [("values", RawTensor(shape: [count, outputs.count], values: .floats(numbers)))]
        case .questionAnswering:
            var texts: [[UInt8]] = [], chances: [Float] = [], starts: [Int64] = [], ends: [Int64] = []
            for case .answer(let text, let probability, let place) in results {
                texts.append(Array(text.utf8))
                chances.append(Float(probability))
                starts.append(Int64(place.lowerBound))
                ends.append(Int64(place.upperBound))
            }
            return [
                ("answer", RawTensor(shape: [count], values: .strings(texts))),
                ("answer_probability", RawTensor(shape: [count], values: .floats(chances))),
                ("start", RawTensor(shape: [count], values: .ints(starts))),
                ("end", RawTensor(shape: [count], values: .ints(ends))),
            ]
        }
    }

    private static func best(_ values: [Double]) -> Int {
        values.indices.max { values[$0] < values[$1] || values[$0] == values[$1] && $0 > $1 } ?? 0
    }

    /// To six digits, which is what float32 is good for.
    private static func rounded(_ value: Double) -> Double { (value * 1e6).rounded() / 1e6 }
}
