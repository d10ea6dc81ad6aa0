extension JSONParser {
    /// Appends every number of a list, nested lists included, to `numbers`: the tensors of requests.
    ///
    /// A number of up to 19 digits with a small exponent takes two multiplications (Clinger's fast path, exact in double
    /// precision); others go through the standard library. Throws `invalidRequest` for anything but numbers.
    package mutating func appendNumbers(to numbers: inout [Float], limit: Int) throws {
        guard try take("[") else { throw fault("a list of numbers must start here") }
        var depth = 1
        var needsValue = false
        while depth > 0 {
            skipSpace()
            guard position < bytes.count else { throw fault("the document ends early") }
            switch bytes[position] {
            case UInt8(ascii: "["):
                depth += 1
                guard depth <= 16 else { throw fault("a tensor is nested deeper than 16 levels") }
                position += 1
                needsValue = false
                continue
            case UInt8(ascii: "]"):
                guard !needsValue else { throw fault("a number must follow ','") }
                depth -= 1
                position += 1
            default:
                guard numbers.count < limit else { throw fault("there are more than \(limit) numbers") }
                numbers.append(try floatNumber())
            }
            guard depth > 0 else { return }
            skipSpace()
            guard position < bytes.count else { throw fault("the document ends early") }
            if bytes[position] == UInt8(ascii: ",") {
                position += 1
                needsValue = true
            } else if bytes[position] == UInt8(ascii: "]") {
                needsValue = false
            } else {
                throw fault("',' or ']' must follow")
            }
        }
    }

    private mutating func floatNumber() throws -> Float {
        let start = position
        var cursor = position
        let end = bytes.count
        var isNegative = false
        if bytes[cursor] == UInt8(ascii: "-") {
            isNegative = true
            cursor += 1
        }
        let digitsStart = cursor
        var mantissa: UInt64 = 0
        while cursor < end, bytes[cursor] &- 0x30 < 10 {
            mantissa = mantissa &* 10 &+ UInt64(bytes[cursor] &- 0x30)
            cursor += 1
        }
        var digits = cursor - digitsStart
        guard digits > 0, digits == 1 || bytes[digitsStart] != 0x30 else { return try slowNumber(start) }
        var exponent = 0
        if cursor < end, bytes[cursor] == UInt8(ascii: ".") {
            cursor += 1
            let fractionStart = cursor
            while cursor < end, bytes[cursor] &- 0x30 < 10 {
                mantissa = mantissa &* 10 &+ UInt64(bytes[cursor] &- 0x30)
                cursor += 1
            }
            guard cursor > fractionStart else { return try slowNumber(start) }
            exponent = fractionStart - cursor
            digits -= exponent
        }
        let hasExponent = cursor < end && bytes[cursor] | 0x20 == UInt8(ascii: "e")
        guard digits <= 19, mantissa < 1 << 53, exponent >= -22, !hasExponent else { return try slowNumber(start) }
        position = cursor
        let value = Double(mantissa) / Self.powersOfTen[-exponent]
        return Float(isNegative ? -value : value)
    }

    private mutating func slowNumber(_ start: Int) throws -> Float {
        position = start
        let byte = bytes[start]
        guard byte == UInt8(ascii: "-") || (0x30...0x39).contains(byte) else { throw fault("a number must start here") }
        guard let number = try number().double else { throw fault("a number must start here") }
        let float = Float(number)
        guard float.isFinite else { throw fault("the number \(number) is past the range of FP32") }
        return float
    }

    private static let powersOfTen: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21, 1e22,
    ]
}
