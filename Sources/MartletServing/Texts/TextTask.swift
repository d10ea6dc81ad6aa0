import MartletModels
import MartletWire

/// What a model of whole texts reads and gives, in the words of `predict` and of the Open Inference Protocol.
public enum TextTask: Sendable, Equatable {
    /// A text, or two that belong together → one of the labels.
    case classification(labels: [String], isMultiLabel: Bool)
    /// A text, or two that belong together → a number for each of these names; mostly there is one.
    case regression(outputs: [String])
    /// A question and a text → the part of the text that answers it.
    case questionAnswering

    /// As `transformers` reads a config: one score alone is a number, unless the `problem_type` says that it is a label.
    /// - Throws: `unsupportedFormat` where the model gives something else.
    public init(_ model: TextEncoder, config: JSON) throws {
        switch model.task {
        case .classification(let labels):
            let problem = config["problem_type"]?.string
            if problem == "regression" || (problem == nil && labels.count == 1) {
                self = .regression(outputs: labels)
            } else {
                self = .classification(
                    labels: labels, isMultiLabel: problem == "multi_label_classification" || labels.count == 1)
            }
        case .questionAnswering: self = .questionAnswering
        case .embedding: throw MartletError(.unsupportedFormat, "an encoder without a head makes vectors alone")
        }
    }

    /// The names of the texts that come in: the first must be given; an answer needs both.
    var inputs: [String] {
        switch self {
        case .classification, .regression: ["text", "text_pair"]
        case .questionAnswering: ["question", "context"]
        }
    }

    var needsBoth: Bool { self == .questionAnswering }

    /// Adds what goes in and what comes out.
    public func describe(in signature: inout Signature) {
        let needed = needsBoth ? inputs : [inputs[0]]
        signature.inputs = needed.map { .init(name: $0, datatype: "BYTES", shape: [-1]) }
        signature.inputColumns = needed.map { .init(name: $0, type: "text") }
        switch self {
        case .classification(let labels, _):
            signature.outputs = [
                .init(name: "label", datatype: "BYTES", shape: [-1]),
                .init(name: "label_probabilities", datatype: "FP32", shape: [-1, labels.count]),
            ]
            signature.outputColumns = [.init(name: "label", type: "category", categories: labels)]
        case .regression(let outputs) where outputs.count == 1:
            signature.outputs = [.init(name: "value", datatype: "FP32", shape: [-1])]
            signature.outputColumns = [.init(name: "value", type: "number")]
        case .regression(let outputs):
            signature.outputs = [.init(name: "values", datatype: "FP32", shape: [-1, outputs.count])]
            signature.outputColumns = [.init(name: "values", type: "vector")]
        case .questionAnswering:
            signature.outputs = [
                .init(name: "answer", datatype: "BYTES", shape: [-1]),
                .init(name: "answer_probability", datatype: "FP32", shape: [-1]),
                .init(name: "start", datatype: "INT64", shape: [-1]),
                .init(name: "end", datatype: "INT64", shape: [-1]),
            ]
            signature.outputColumns = [
                .init(name: "answer", type: "text"), .init(name: "answer_probability", type: "number"),
                .init(name: "start", type: "number"), .init(name: "end", type: "number"),
            ]
        }
    }
}
