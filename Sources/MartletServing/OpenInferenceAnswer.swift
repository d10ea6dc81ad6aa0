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
            // A body has room for more wishes than an answer could have tensors.
            var seen: Set<String> = []
            outputs = try request.outputs.map { wish in
                guard seen.insert(wish.name).inserted else {
                    throw MartletError(
                        .invalidRequest, "the output '\(wish.name.prefix(60))' is asked for twice; ask for it once",
                        param: "outputs")
                }
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

    func write(
        _ scores: [String: [Float]], count: Int, preprocessing: Preprocessing, reply: InferenceReply
    ) throws -> InferenceAnswer {
        let labels = preprocessing.targets.map { ($0.name + "_probabilities", $0.categories) }
        return try write(
            preprocessing.outputTensors(scores: scores, count: count), count: count,
            labels: Dictionary(labels, uniquingKeysWith: { first, _ in first }), reply: reply)
    }

    /// - Parameter labels: the labels of outputs that have a number for each.
    func write(
        _ tensors: [(name: String, tensor: RawTensor)], count: Int, labels: [String: [String]], reply: InferenceReply
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
            guard var tensor = tensors.first(where: { $0.name == output.spec.name })?.tensor else {
                throw MartletError(.internal, "the model gave no result for the output '\(output.spec.name)'")
            }
            if let wanted = output.classCount, case .floats(let numbers) = tensor.values {
                let classes = Self.classes(numbers, rows: count, wanted, labels: labels[output.spec.name] ?? [])
                tensor = RawTensor(shape: [count, classes.count / max(count, 1)], values: .strings(classes))
            }
            json += "{\"name\":"
            JSON.quote(output.spec.name, to: &json)
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            json += ",\"datatype\":\"\(tensor.datatype)\",\"shape\":[\(shape)]"
            if output.isBinary {
                let bytes = tensor.values.binary
                json += ",\"parameters\":{\"binary_data_size\":\(bytes.count)}}"
                binary.append(contentsOf: bytes)
            } else {
                json += ",\"data\":["
                tensor.values.write(to: &json)
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

    /// Triton's classification extension: `score:index:label`, the best first.
    private static func classes(
        _ scores: [Float], rows: Int, _ wanted: Int, labels: [String]
    ) -> [[UInt8]] {
        let width = max(scores.count / max(rows, 1), 1)
        return stride(from: 0, to: scores.count, by: width).flatMap { start in
            let order = (0..<width).sorted { scores[start + $0] > scores[start + $1] }
            return order.prefix(max(1, min(wanted, width))).map { index in
                let label = index < labels.count ? ":\(labels[index])" : ""
                return Array("\(scores[start + index]):\(index)\(label)".utf8)
            }
        }
    }
}

extension RawTensor.Values {
    /// Little-endian, as the protocol has it; each BYTES element after its length.
    fileprivate var binary: [UInt8] {
        var bytes: [UInt8] = []
        switch self {
        case .floats(let values): values.withUnsafeBytes { bytes.append(contentsOf: $0) }
        case .ints(let values): values.withUnsafeBytes { bytes.append(contentsOf: $0) }
        case .bytes(let values): bytes = values
        case .bools(let values): bytes = values.map { $0 ? 1 : 0 }
        case .strings(let values):
            for value in values {
                bytes.appendLittleEndian(UInt32(truncatingIfNeeded: value.count))
                bytes.append(contentsOf: value)
            }
        }
        return bytes
    }

    fileprivate func write(to json: inout String) {
        switch self {
        case .floats(let values): Self.write(values, to: &json) { $0 += $1.description }
        case .ints(let values): Self.write(values, to: &json) { $0 += String($1) }
        case .bytes(let values): Self.write(values, to: &json) { $0 += String($1) }
        case .bools(let values): Self.write(values, to: &json) { $0 += $1 ? "true" : "false" }
        case .strings(let values):
            Self.write(values, to: &json) { JSON.quote(String(decoding: $1, as: UTF8.self), to: &$0) }
        }
    }

    private static func write<Value>(_ values: [Value], to json: inout String, _ one: (inout String, Value) -> Void) {
        for (index, value) in values.enumerated() {
            if index > 0 { json += "," }
            one(&json, value)
        }
    }
}
