/// Steps through UTF-8 that is known to be valid.
enum UTF8Scan {
    /// The scalar at `index`, and how many bytes it has.
    @inline(__always)
    static func scalar(_ bytes: UnsafePointer<UInt8>, _ index: Int) -> (code: UInt32, length: Int) {
        let first = UInt32(bytes[index])
        if first < 0x80 { return (first, 1) }
        let second = UInt32(bytes[index + 1] & 0x3F)
        if first < 0xE0 { return ((first & 0x1F) << 6 | second, 2) }
        let third = UInt32(bytes[index + 2] & 0x3F)
        if first < 0xF0 { return ((first & 0x0F) << 12 | second << 6 | third, 3) }
        return ((first & 0x07) << 18 | second << 12 | third << 6 | UInt32(bytes[index + 3] & 0x3F), 4)
    }

    @inline(__always)
    static func length(_ first: UInt8) -> Int { first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4 }

    /// Where the scalar that ends before `index` starts.
    @inline(__always)
    static func before(_ bytes: UnsafePointer<UInt8>, _ index: Int) -> Int {
        var start = index - 1
        while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
        return start
    }

    @inline(__always)
    static func append(_ code: UInt32, to bytes: inout [UInt8]) -> Int {
        if code < 0x80 {
            bytes.append(UInt8(code))
            return 1
        }
        if code < 0x800 {
            bytes.append(UInt8(0xC0 | code >> 6))
            bytes.append(UInt8(0x80 | code & 0x3F))
            return 2
        }
        if code < 0x10000 {
            bytes.append(UInt8(0xE0 | code >> 12))
            bytes.append(UInt8(0x80 | code >> 6 & 0x3F))
            bytes.append(UInt8(0x80 | code & 0x3F))
            return 3
        }
        bytes.append(UInt8(0xF0 | code >> 18 & 0x07))
        bytes.append(UInt8(0x80 | code >> 12 & 0x3F))
        bytes.append(UInt8(0x80 | code >> 6 & 0x3F))
        bytes.append(UInt8(0x80 | code & 0x3F))
        return 4
    }

    static func scalars(_ bytes: some Collection<UInt8>) -> [UInt32] {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.map { $0.value }
    }
}
