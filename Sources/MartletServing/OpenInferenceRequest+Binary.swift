import MartletData
import MartletWire

/// Tensors whose numbers stand behind the JSON.
extension OpenInferenceRequest {
    static func binary(_ bytes: UnsafeRawBufferPointer, _ tensor: Tensor) throws -> RawTensor.Values {
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
}
