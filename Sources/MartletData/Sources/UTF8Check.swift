/// A walk over UTF-8 (RFC 3629) that allocates nothing.
enum UTF8Check {
    /// The place of the first byte that is not UTF-8, or nil.
    static func firstFault(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
        var p = 0
        let count = bytes.count
        while p < count {
            let byte = bytes[p]
            if byte < 0x80 {
                p += 1
                continue
            }
            let length: Int
            let low: UInt8
            let high: UInt8
            switch byte {
            case 0xC2...0xDF: (length, low, high) = (2, 0x80, 0xBF)
            case 0xE0: (length, low, high) = (3, 0xA0, 0xBF)
            case 0xED: (length, low, high) = (3, 0x80, 0x9F)
            case 0xE1...0xEF: (length, low, high) = (3, 0x80, 0xBF)
            case 0xF0: (length, low, high) = (4, 0x90, 0xBF)
            case 0xF1...0xF3: (length, low, high) = (4, 0x80, 0xBF)
            case 0xF4: (length, low, high) = (4, 0x80, 0x8F)
            default: return p
            }
            guard p + length <= count, bytes[p + 1] >= low, bytes[p + 1] <= high else { return p }
            for offset in 2..<max(2, length) where bytes[p + offset] & 0xC0 != 0x80 { return p }
            p += length
        }
        return nil
    }
}
