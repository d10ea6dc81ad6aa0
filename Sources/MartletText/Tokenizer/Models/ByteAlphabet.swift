/// The 256 printable characters that byte-level vocabularies write bytes in (GPT-2's).
enum ByteAlphabet {
    /// The scalar of each byte.
    static let scalars: [UInt32] = {
        var result = [UInt32](repeating: 0, count: 256)
        var next: UInt32 = 256
        for byte in 0..<256 {
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                result[byte] = UInt32(byte)
            } else {
                result[byte] = next
                next += 1
            }
        }
        return result
    }()

    /// The byte of each scalar below 324, or −1.
    static let bytes: [Int16] = {
        var result = [Int16](repeating: -1, count: 324)
        for (byte, scalar) in scalars.enumerated() { result[Int(scalar)] = Int16(byte) }
        return result
    }()

    static func text(of byte: UInt8) -> [UInt8] {
        var text: [UInt8] = []
        _ = UTF8Scan.append(scalars[Int(byte)], to: &text)
        return text
    }

    /// The bytes that a token stands for, or nil where it has a character outside the alphabet.
    static func bytes(of token: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(token.count)
        var index = 0
        return token.withUnsafeBufferPointer { token in
            guard let base = token.baseAddress else { return [] }
            while index < token.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                guard code < 324, bytes[Int(code)] >= 0 else { return nil }
                result.append(UInt8(truncatingIfNeeded: bytes[Int(code)]))
                index += length
            }
            return result
        }
    }
}

/// The tokens `<0x00>` to `<0xFF>` that spell what a vocabulary lacks.
enum ByteFallback {
    static func tokens(in vocabulary: ModelVocabulary) -> [Int32] {
        (0..<256).map { vocabulary.table.value(text(UInt8($0))) }
    }

    static func text(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
    }

    /// The byte of a token such as `<0x0A>`.
    static func byte(of token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }
}
