extension AlignedText {
    func forEachScalar(_ body: (UInt32) -> Void) {
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                index += length
                body(code)
            }
        }
    }

    /// Keeps the scalars that `keep` maps to something, as what it maps them to.
    mutating func map(_ keep: (UInt32) -> UInt32?) {
        var changes = false
        forEachScalar { if !changes, keep($0) != $0 { changes = true } }
        guard changes else { return }
        align()
        var result = AlignedText(capacity: bytes.count)
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let (code, length) = UTF8Scan.scalar(base, index)
                if let mapped = keep(code) {
                    for _ in 0..<UTF8Scan.append(mapped, to: &result.bytes) {
                        result.starts.append(starts[index])
                        result.ends.append(ends[index])
                    }
                }
                index += length
            }
        }
        self = result
    }

    /// Puts `prefix` before the text; it stands for the first scalar. Nothing happens to an empty text.
    mutating func prepend(_ prefix: [UInt8]) {
        guard !bytes.isEmpty, !prefix.isEmpty else { return }
        align()
        bytes.insert(contentsOf: prefix, at: 0)
        starts.insert(contentsOf: [Int32](repeating: starts[0], count: prefix.count), at: 0)
        ends.insert(contentsOf: [Int32](repeating: ends[0], count: prefix.count), at: 0)
    }

    /// Replaces parts by `content`, which stands for the last scalar of the part.
    mutating func replace(_ matches: [Range<Int>], with content: [UInt8]) {
        guard !matches.isEmpty else { return }
        align()
        var result = AlignedText(capacity: bytes.count + matches.count * content.count)
        var last = 0
        for match in matches {
            result.append(self, last..<match.lowerBound)
            let place = match.upperBound - 1
            for byte in content {
                result.bytes.append(byte)
                result.starts.append(place >= 0 ? starts[place] : 0)
                result.ends.append(place >= 0 ? ends[place] : 0)
            }
            last = match.upperBound
        }
        result.append(self, last..<bytes.count)
        self = result
    }

    /// Every place of a literal, left to right, not overlapping.
    func matches(of literal: [UInt8]) -> [Range<Int>] { Self.matches(of: literal, in: bytes) }

    static func matches(of literal: [UInt8], in bytes: [UInt8]) -> [Range<Int>] {
        TextPattern.literal(literal).matches(in: bytes)
    }
}
