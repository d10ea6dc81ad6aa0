import MartletData
import MartletWire

/// What stands in the JSON.
extension OpenInferenceRequest {
    static func tensor(_ parser: inout JSONParser) throws -> (Tensor, Int?) {
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

    static func unknownType(_ tensor: Tensor) -> MartletError {
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
    static func refuseReserved(_ parameters: JSON) throws {
        for key in parameters.object?.keys ?? [] where key.hasPrefix("triton_") || key.hasPrefix("__") {
            throw MartletError(
                .invalidRequest, "the parameter '\(key.prefix(60))' has a reserved name; leave it out",
                param: "parameters." + key.prefix(60))
        }
    }

    static func wish(_ json: JSON) throws -> OutputWish {
        guard let name = json["name"]?.string else {
            throw MartletError(.invalidRequest, "an entry of 'outputs' has no name")
        }
        let parameters = json["parameters"]
        return OutputWish(
            name: name, isBinary: parameters?["binary_data"]?.bool ?? false,
            classCount: parameters?["classification"]?.int)
    }
}
