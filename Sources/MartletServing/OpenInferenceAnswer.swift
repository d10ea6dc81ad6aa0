import Foundation
import MartletData
import MartletWire

/// Writes answers of the Open Inference Protocol, as JSON or with binary tensors behind it.
public struct OpenInferenceAnswer: Sendable {
    private let id: String?
    private let model: String
    private let version: Int
    private let outputs: [(spec: Signature.TensorSpec, isBinary: Bool, classCount: Int?)]

    init(_ request: OpenInferenceRequest, signature: Signature, model: String, version: Int) throws {
        id = request.id
        self.model = model
        self.version = version
        if request.outputs.isEmpty {
            outputs = signature.outputs.map { ($0, request.isBinaryByDefault, nil) }
        } else {
            outputs = try request.outputs.map { wish in
                guard let spec = signature.outputs.first(where: { $0.name == wish.name }) else {
                    throw MartletError(
                        .invalidRequest,
                        "the model has no output '\(wish.name.prefix(60))'; it has "
                            + signature.outputs.map(\.name).joined(separator: ", "))
                }
                return (spec, wish.isBinary, wish.classCount)
            }
        }
    }

    fileprivate enum Values {
        case floats([Float])
        case bools([Bool])
        case strings([String])
    }

    func write(
        _ scores: [String: [Float]], count: Int, preprocessing: Preprocessing, reply: InferenceReply
    ) throws -> InferenceAnswer {
        var json = "{\"model_name\":"
        JSON.quote(model, to: &json)
        json += ",\"model_version\":\"\(version)\""
        if let id {
            json += ",\"id\":"
            JSON.quote(id, to: &json)
        }
        json += ",\"outputs\":["
        var binary: [UInt8] = []
        for (index, output) in outputs.enumerated() {
            if index > 0 { json += "," }
            var values = try values(of: output.spec.name, scores, count: count, preprocessing)
            var shape = [count] + output.spec.shape.dropFirst()
            var datatype = output.spec.datatype
            if let wanted = output.classCount, case .floats(let numbers) = values {
                values = .strings(Self.classes(numbers, rows: count, wanted, labels: preprocessing, output.spec.name))
                shape = [count, values.count / max(count, 1)]
                datatype = "BYTES"
            }
            json += "{\"name\":"
            JSON.quote(output.spec.name, to: &json)
            json += ",\"datatype\":\"\(datatype)\",\"shape\":[\(shape.map(String.init).joined(separator: ","))]"
            if output.isBinary {
                let bytes = values.binary
                json += ",\"parameters\":{\"binary_data_size\":\(bytes.count)}}"
                binary.append(contentsOf: bytes)
            } else {
                json += ",\"data\":["
                values.write(to: &json)
                json += "]}"
            }
        }
        json += "]}"
        var reply = reply
        var body = Array(json.utf8)
        if outputs.contains(where: \.isBinary) {
            reply.headerLength = body.count
            reply.contentType = "application/octet-stream"
            body.append(contentsOf: binary)
        }
        return InferenceAnswer(reply: reply, body: body)
    }

    private func values(
        of name: String, _ scores: [String: [Float]], count: Int, _ preprocessing: Preprocessing
    ) throws -> Values {
        for target in preprocessing.targets {
            guard let raw = scores[target.name] else { continue }
            switch (target.kind, name) {
            case (.category, target.name + "_probabilities"):
                return .floats(Self.softmax(raw, width: target.categories.count))
            case (.category, target.name):
                return .strings(Self.best(raw, width: target.categories.count).map { target.categories[$0] })
            case (.boolean, target.name + "_probability"): return .floats(raw.map { 1 / (1 + exp(-$0)) })
            case (.boolean, target.name): return .bools(raw.map { $0 >= 0 })
            case (.sequence, target.name):
                let labels = Self.best(raw, width: target.categories.count).map { target.categories[$0] }
                let width = max(labels.count / max(count, 1), 1)
                return .strings(
                    stride(from: 0, to: labels.count, by: width).map { labels[$0..<$0 + width].joined(separator: " ") })
            case (_, target.name): return .floats(preprocessing.original(name, raw).map { Float($0) })
            default: continue
            }
        }
        throw MartletError(.internal, "the model gave no result for the output '\(name)'")
    }

    private static func best(_ scores: [Float], width: Int) -> [Int] {
        stride(from: 0, to: scores.count, by: width).map { start in
            var best = 0
            for index in 1..<max(width, 1) where scores[start + index] > scores[start + best] { best = index }
            return best
        }
    }

    private static func softmax(_ scores: [Float], width: Int) -> [Float] {
        var result = scores
        for start in stride(from: 0, to: scores.count, by: width) {
            let top = scores[start..<start + width].max() ?? 0
            var sum: Float = 0
            for index in start..<start + width {
                result[index] = exp(scores[index] - top)
                sum += result[index]
            }
            for index in start..<start + width { result[index] /= sum }
        }
        return result
    }

    /// Triton's classification extension: `score:index:label`, the best first.
    private static func classes(
        _ scores: [Float], rows: Int, _ wanted: Int, labels preprocessing: Preprocessing, _ name: String
    ) -> [String] {
        let width = max(scores.count / max(rows, 1), 1)
        let labels = preprocessing.targets.first { name == $0.name + "_probabilities" }?.categories ?? []
        return stride(from: 0, to: scores.count, by: width).flatMap { start in
            let order = (0..<width).sorted { scores[start + $0] > scores[start + $1] }
            return order.prefix(max(1, min(wanted, width))).map { index in
                let label = index < labels.count ? ":\(labels[index])" : ""
                return "\(scores[start + index]):\(index)\(label)"
            }
        }
    }
}

extension OpenInferenceAnswer.Values {
    fileprivate var count: Int {
        switch self {
        case .floats(let values): values.count
        case .bools(let values): values.count
        case .strings(let values): values.count
        }
    }

    fileprivate var binary: [UInt8] {
        var bytes: [UInt8] = []
        switch self {
        case .floats(let values): values.withUnsafeBytes { bytes.append(contentsOf: $0) }
        case .bools(let values): bytes = values.map { $0 ? 1 : 0 }
        case .strings(let values):
            for value in values {
                bytes.appendLittleEndian(UInt32(truncatingIfNeeded: value.utf8.count))
                bytes.append(contentsOf: value.utf8)
            }
        }
        return bytes
    }

    fileprivate func write(to json: inout String) {
        switch self {
        case .floats(let values):
            for (index, value) in values.enumerated() {
                if index > 0 { json += "," }
                json += value.description
            }
        case .bools(let values): json += values.map { $0 ? "true" : "false" }.joined(separator: ",")
        case .strings(let values):
            for (index, value) in values.enumerated() {
                if index > 0 { json += "," }
                JSON.quote(value, to: &json)
            }
        }
    }
}
