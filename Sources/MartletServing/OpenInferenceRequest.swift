import MartletData
import MartletWire

/// A request of the Open Inference Protocol (KServe v2), read from JSON with or without binary tensors behind it.
///
/// Shapes are checked against the data before anything is allocated by them.
struct OpenInferenceRequest {
    struct Tensor {
        var name: String
        var datatype: String
        var shape: [Int]
        var data: RawTensor.Values
    }

    struct OutputWish {
        var name: String
        var isBinary: Bool
        /// `classification`: the best so many labels instead of scores.
        var classCount: Int?
    }

    private(set) var id: String?
    private(set) var inputs: [Tensor] = []
    /// The outputs to give; empty means all.
    private(set) var outputs: [OutputWish] = []
    private(set) var isBinaryByDefault = false

    static let elementLimit = 64 << 20

    /// - Parameter headerLength: where the JSON ends and binary tensors start; nil where there are none.
    /// - Throws: `invalidRequest`.
    init(body: [UInt8], headerLength: Int?) throws {
        let jsonEnd = headerLength ?? body.count
        guard jsonEnd >= 0, jsonEnd <= body.count else {
            throw MartletError(
                .invalidRequest, "Inference-Header-Content-Length is \(jsonEnd), but the body has \(body.count) bytes")
        }
        var pending: [(index: Int, byteCount: Int)] = []
        try body.withUnsafeBytes { bytes in
            var parser = JSONParser(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<jsonEnd]), limits: .request)
            try parser.members { key, parser in
                switch key {
                case "id": id = try parser.value().string
                case "inputs":
                    try parser.elements { parser in
                        let (tensor, byteCount) = try Self.tensor(&parser)
                        if let byteCount { pending.append((inputs.count, byteCount)) }
                        inputs.append(tensor)
                    }
                case "outputs":
                    try parser.elements { parser in outputs.append(try Self.wish(parser.value())) }
                case "parameters":
                    let parameters = try parser.value()
                    try Self.refuseReserved(parameters)
                    isBinaryByDefault = parameters["binary_data_output"]?.bool ?? false
                default:
                    throw MartletError(
                        .invalidRequest, "unknown field '\(key.prefix(60))'; known: id, inputs, outputs, parameters",
                        param: key)
                }
            }
            try parser.end()
            var offset = jsonEnd
            for (index, byteCount) in pending {
                guard byteCount >= 0, byteCount <= body.count - offset else {
                    throw MartletError(
                        .invalidRequest,
                        "input '\(inputs[index].name)' announces \(byteCount) bytes of binary data, but "
                            + "\(body.count - offset) are left in the body")
                }
                let slice = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + byteCount])
                inputs[index].data = try Self.binary(slice, inputs[index])
                offset += byteCount
            }
            guard headerLength == nil || offset == body.count else {
                throw MartletError(
                    .invalidRequest, "\(body.count - offset) bytes are left after the last binary tensor")
            }
        }
        for tensor in inputs { try Self.check(tensor) }
    }

    /// The inputs as the model sees them. Throws `invalidRequest`.
    func encoded(by preprocessing: Preprocessing) throws -> FeatureBatch {
        var tensors: [String: RawTensor] = [:]
        for tensor in inputs {
            let raw = RawTensor(shape: tensor.shape, values: tensor.data)
            guard tensors.updateValue(raw, forKey: tensor.name) == nil else {
                throw MartletError(
                    .invalidRequest, "the input '\(tensor.name)' stands twice; give it once", param: tensor.name)
            }
        }
        return try preprocessing.encode(tensors: tensors)
    }

    private static func check(_ tensor: Tensor) throws {
        var product = 1
        for size in tensor.shape {
            let (next, overflows) = product.multipliedReportingOverflow(by: size)
            guard !overflows else {
                throw MartletError(
                    .invalidRequest, "the sizes of '\(tensor.name)' multiply past what a number can hold")
            }
            product = next
        }
        guard product == tensor.data.count, product > 0 else {
            throw MartletError(
                .invalidRequest,
                "input '\(tensor.name)' has the shape \(tensor.shape) (\(product) values) but \(tensor.data.count) values came"
            )
        }
        if case .floats(let values) = tensor.data, let bad = values.first(where: { !$0.isFinite }) {
            throw MartletError(.invalidRequest, "input '\(tensor.name)' has the value \(bad); values must be finite")
        }
    }
}
