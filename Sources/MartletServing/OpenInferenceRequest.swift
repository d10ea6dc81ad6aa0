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

    private static let elementLimit = 64 << 20

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

    // MARK: JSON

    private static func tensor(_ parser: inout JSONParser) throws -> (Tensor, Int?) {
        var tensor = Tensor(name: "", datatype: "", shape: [], data: .bytes([]))
        var byteCount: Int?
        var dataStart: Int?
        try parser.members { key, parser in
            switch key {
            case "name": tensor.name = try parser.value().string ?? ""
            case "datatype": tensor.datatype = try parser.value().string ?? ""
            case "shape": tensor.shape = try shape(parser.value(), of: tensor.name)
            case "parameters": byteCount = try parser.value()["binary_data_size"]?.int
            case "data":
                // The datatype tells how to read the data and may come after it.
                dataStart = parser.position
                if tensor.datatype.isEmpty {
                    _ = try parser.value()
                } else {
                    tensor.data = try data(&parser, tensor)
                }
            default:
                throw MartletError(
                    .invalidRequest,
                    "unknown field '\(key.prefix(60))' of an input; known: name, shape, datatype, data, parameters",
                    param: key)
            }
        }
        if let dataStart, tensor.data.count == 0 {
            let end = parser.position
            parser.position = dataStart
            tensor.data = try data(&parser, tensor)
            parser.position = end
        }
        guard dataStart != nil || byteCount != nil else {
            throw MartletError(.invalidRequest, "input '\(tensor.name)' has no data; give 'data' or binary_data_size")
        }
        return (tensor, byteCount)
    }

    private static func shape(_ json: JSON, of name: String) throws -> [Int] {
        guard let list = json.array, list.count <= 8 else {
            throw MartletError(.invalidRequest, "the shape of '\(name)' is not a list of at most 8 sizes")
        }
        return try list.map {
            guard let size = $0.int, size >= 0 else {
                throw MartletError(
                    .invalidRequest, "the shape of '\(name)' has \($0.serialized()); sizes are whole and not negative")
            }
            return size
        }
    }

    private static func data(_ parser: inout JSONParser, _ tensor: Tensor) throws -> RawTensor.Values {
        switch tensor.datatype {
        case "FP32", "FP64":
            var numbers: [Float] = []
            numbers.reserveCapacity(1024)
            try parser.appendNumbers(to: &numbers, limit: elementLimit)
            return .floats(numbers)
        case "INT8", "INT16", "INT32", "INT64", "UINT16", "UINT32", "UINT64":
            var values: [Int64] = []
            try flatten(parser.value()) { element in
                guard let number = element.int, range(tensor.datatype).contains(number) else {
                    throw notA(tensor, element)
                }
                values.append(Int64(number))
            }
            return .ints(values)
        case "UINT8":
            var values: [UInt8] = []
            try flatten(parser.value()) { element in
                guard let number = element.int, let value = UInt8(exactly: number) else { throw notA(tensor, element) }
                values.append(value)
            }
            return .bytes(values)
        case "BOOL":
            var values: [Bool] = []
            try flatten(parser.value()) { element in
                guard let value = element.bool ?? element.int.flatMap({ $0 == 0 ? false : $0 == 1 ? true : nil }) else {
                    throw notA(tensor, element)
                }
                values.append(value)
            }
            return .bools(values)
        case "BYTES":
            var values: [[UInt8]] = []
            try flatten(parser.value()) { element in
                guard let text = element.string else { throw notA(tensor, element) }
                values.append(Array(text.utf8))
            }
            return .strings(values)
        default: throw unknownType(tensor)
        }
    }

    private static func range(_ datatype: String) -> ClosedRange<Int> {
        switch datatype {
        case "INT8": -128...127
        case "INT16": -32_768...32_767
        case "INT32": Int(Int32.min)...Int(Int32.max)
        case "UINT16": 0...65_535
        case "UINT32": 0...Int(UInt32.max)
        case "UINT64": 0...Int.max
        default: Int.min...Int.max
        }
    }

    private static func notA(_ tensor: Tensor, _ element: JSON) -> MartletError {
        MartletError(
            .invalidRequest, "input '\(tensor.name)': \(element.serialized().prefix(60)) is not \(tensor.datatype)")
    }

    private static func unknownType(_ tensor: Tensor) -> MartletError {
        MartletError(
            .invalidRequest,
            "input '\(tensor.name)': '\(tensor.datatype.prefix(20))' is not a datatype that is read here; use FP32, INT64, UINT8, BOOL or BYTES"
        )
    }

    private static func flatten(_ json: JSON, _ body: (JSON) throws -> Void) throws {
        if case .array(let elements) = json {
            for element in elements { try flatten(element, body) }
        } else {
            try body(json)
        }
    }

    /// What servers of this protocol say to their own parts stands in names that a request may not use.
    private static func refuseReserved(_ parameters: JSON) throws {
        for key in parameters.object?.keys ?? [] where key.hasPrefix("triton_") || key.hasPrefix("__") {
            throw MartletError(
                .invalidRequest, "the parameter '\(key.prefix(60))' has a reserved name; leave it out",
                param: "parameters." + key.prefix(60))
        }
    }

    private static func wish(_ json: JSON) throws -> OutputWish {
        guard let name = json["name"]?.string else {
            throw MartletError(.invalidRequest, "an entry of 'outputs' has no name")
        }
        let parameters = json["parameters"]
        return OutputWish(
            name: name, isBinary: parameters?["binary_data"]?.bool ?? false,
            classCount: parameters?["classification"]?.int)
    }

    // MARK: binary

    private static func binary(_ bytes: UnsafeRawBufferPointer, _ tensor: Tensor) throws -> RawTensor.Values {
        func numbers<Number: BitwiseCopyable>(_ type: Number.Type) throws -> [Number] {
            let size = MemoryLayout<Number>.size
            guard bytes.count % size == 0 else {
                throw MartletError(
                    .invalidRequest, "input '\(tensor.name)' has \(bytes.count) bytes, not a multiple of \(size)")
            }
            return (0..<bytes.count / size).map { bytes.loadUnaligned(fromByteOffset: $0 * size, as: type) }
        }
        switch tensor.datatype {
        case "FP32":
            guard bytes.count % 4 == 0 else {
                throw MartletError(
                    .invalidRequest, "input '\(tensor.name)' has \(bytes.count) bytes, not a multiple of 4")
            }
            return .floats(
                [Float](unsafeUninitializedCapacity: bytes.count / 4) { buffer, count in
                    count = bytes.count / 4
                    UnsafeMutableRawBufferPointer(buffer).copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: bytes[..<(count * 4)]))
                })
        case "FP64": return .floats(try numbers(Double.self).map { Float($0) })
        case "INT8": return .ints(try numbers(Int8.self).map { Int64($0) })
        case "INT16": return .ints(try numbers(Int16.self).map { Int64($0) })
        case "INT32": return .ints(try numbers(Int32.self).map { Int64($0) })
        case "INT64": return .ints(try numbers(Int64.self))
        case "UINT8": return .bytes(Array(bytes))
        case "UINT16": return .ints(try numbers(UInt16.self).map { Int64($0) })
        case "UINT32": return .ints(try numbers(UInt32.self).map { Int64($0) })
        case "UINT64":
            return .ints(
                try numbers(UInt64.self).map { value in
                    guard let number = Int64(exactly: value) else {
                        throw MartletError(
                            .invalidRequest,
                            "input '\(tensor.name)': \(value) is past what is read here; send at most \(Int64.max)")
                    }
                    return number
                })
        case "BOOL": return .bools(bytes.map { $0 != 0 })
        case "BYTES":
            var values: [[UInt8]] = []
            var offset = 0
            while offset < bytes.count {
                guard bytes.count - offset >= 4 else { throw brokenBytes(tensor) }
                let length = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
                offset += 4
                guard length <= bytes.count - offset else { throw brokenBytes(tensor) }
                values.append(Array(bytes[offset..<offset + length]))
                offset += length
            }
            return .strings(values)
        default: throw unknownType(tensor)
        }
    }

    private static func brokenBytes(_ tensor: Tensor) -> MartletError {
        MartletError(.invalidRequest, "input '\(tensor.name)': a BYTES element is longer than the data that is left")
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

extension JSONParser {
    /// Calls `body` at each member's value; duplicate keys are refused.
    mutating func members(_ body: (String, inout JSONParser) throws -> Void) throws {
        skipSpace()
        guard try take("{") else { throw fault("an object must start here") }
        var seen: Set<String> = []
        skipSpace()
        if try take("}") { return }
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw fault("a key must follow")
            }
            let key = try text()
            guard seen.insert(key).inserted else {
                throw MartletError(
                    .invalidRequest, "duplicate_key: the key '\(key)' stands twice in one object", param: key)
            }
            skipSpace()
            guard try take(":") else { throw fault("':' must follow the key '\(key)'") }
            skipSpace()
            try body(key, &self)
            skipSpace()
            if try take(",") { continue }
            guard try take("}") else { throw fault("',' or '}' must follow") }
            return
        }
    }

    /// Calls `body` at each element of a list.
    mutating func elements(_ body: (inout JSONParser) throws -> Void) throws {
        guard try take("[") else { throw fault("a list must start here") }
        skipSpace()
        if try take("]") { return }
        while true {
            skipSpace()
            try body(&self)
            skipSpace()
            if try take(",") { continue }
            guard try take("]") else { throw fault("',' or ']' must follow") }
            return
        }
    }

    mutating func end() throws {
        skipSpace()
        guard position == bytes.count else { throw fault("text after the end of the document") }
    }
}
