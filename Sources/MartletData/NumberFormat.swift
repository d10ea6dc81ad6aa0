import Foundation

/// How numbers are written in a source.
package struct NumberFormat: Codable, Sendable, Equatable {
    /// `.` or `,`.
    package var decimal: UInt8 = UInt8(ascii: ".")
    /// Stands between groups of three digits; nil where there is none.
    package var thousands: UInt8?

    package init(decimal: UInt8 = UInt8(ascii: "."), thousands: UInt8? = nil) {
        self.decimal = decimal
        self.thousands = thousands
    }

    static let plain = NumberFormat()

    private static let powers: [Double] = (0...22).map { pow(10, Double($0)) }

    /// The number that `bytes` spell, or nil where they spell none or one that is not finite.
    ///
    /// Up to 2^53 with a power of ten up to 10^22 the result is exact by one rounding (Clinger 1990); everything else
    /// goes to `strtod`.
    package func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Double? {
        var position = 0
        var end = bytes.count
        while position < end, bytes[position] <= 0x20 { position += 1 }
        while end > position, bytes[end - 1] <= 0x20 { end -= 1 }
        let start = position
        var negative = false
        if position < end, bytes[position] == 0x2D || bytes[position] == 0x2B {
            negative = bytes[position] == 0x2D
            position += 1
        }
        var mantissa: UInt64 = 0
        var digits = 0
        var dropped = false
        var scale = 0
        var sawDecimal = false
        var group = 0
        var sawThousands = false
        while position < end {
            let byte = bytes[position]
            if byte &- 0x30 <= 9 {
                if mantissa < 100_000_000_000_000_000 {
                    mantissa = mantissa &* 10 &+ UInt64(byte &- 0x30)
                    if sawDecimal { scale -= 1 }
                } else {
                    dropped = true
                    if !sawDecimal { scale += 1 }
                }
                digits += 1
                group += 1
            } else if byte == decimal, !sawDecimal {
                if sawThousands, group != 3 { return nil }
                sawDecimal = true
            } else if let thousands, byte == thousands, !sawDecimal {
                guard group > 0, group <= 3, !sawThousands || group == 3 else { return nil }
                sawThousands = true
                group = 0
            } else {
                break
            }
            position += 1
        }
        guard digits > 0 else { return nil }
        if sawThousands, !sawDecimal, group != 3 { return nil }
        if position < end {
            guard bytes[position] | 0x20 == 0x65 else { return nil }
            position += 1
            var negativeExponent = false
            if position < end, bytes[position] == 0x2D || bytes[position] == 0x2B {
                negativeExponent = bytes[position] == 0x2D
                position += 1
            }
            guard position < end, end - position <= 6 else { return nil }
            var exponent = 0
            while position < end {
                guard bytes[position] &- 0x30 <= 9 else { return nil }
                exponent = exponent * 10 + Int(bytes[position] &- 0x30)
                position += 1
            }
            scale += negativeExponent ? -exponent : exponent
        }
        if mantissa == 0, !dropped { return negative ? -0.0 : 0 }
        if !dropped, mantissa <= 1 << 53, abs(scale) <= 22 {
            let value = Double(mantissa)
            let scaled = scale < 0 ? value / Self.powers[-scale] : value * Self.powers[scale]
            return negative ? -scaled : scaled
        }
        return slow(bytes[start..<end])
    }

    private func slow(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Double? {
        var text: [CChar] = []
        for byte in bytes where byte != thousands {
            text.append(byte == decimal ? 0x2E : CChar(bitPattern: byte))
        }
        text.append(0)
        let value = strtod(text, nil)
        return value.isFinite ? value : nil
    }

    package func parse(_ text: String) -> Double? {
        var text = text
        return text.withUTF8 { parse($0) }
    }

    /// `value` as this format writes it.
    func text(_ value: Double) -> String {
        let text = value.rounded() == value && abs(value) < 1e15 ? String(Int64(value)) : String(value)
        return decimal == 0x2C ? text.replacingOccurrences(of: ".", with: ",") : text
    }
}

/// The words that mean yes and no.
enum BooleanWords {
    private static let yes: Set<String> = ["true", "t", "yes", "y", "1", "1.0", "on", "是", "真", "对"]
    private static let no: Set<String> = ["false", "f", "no", "n", "0", "0.0", "off", "否", "假", "错"]

    static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool? {
        if bytes.count == 1 {
            if bytes[0] == 0x31 { return true }
            if bytes[0] == 0x30 { return false }
        }
        guard bytes.count <= 8 else { return nil }
        let word = String(decoding: bytes, as: UTF8.self).lowercased().trimmingCharacters(in: .whitespaces)
        return yes.contains(word) ? true : no.contains(word) ? false : nil
    }
}
