extension TemplateText {
    /// Where `part` first stands in `text`, in bytes, at or after `start`. Linear in the length of both.
    static func range(of part: String, in text: String, from start: Int = 0) -> Range<Int>? {
        var text = text
        var part = part
        return text.withUTF8 { bytes in
            part.withUTF8 { pattern in search(bytes, pattern, from: start) }
        }
    }

    /// Every place of `part` in `text`, none overlapping another, at most `limit` of them.
    static func ranges(of part: String, in text: String, limit: Int = .max) -> [Range<Int>] {
        var text = text
        var part = part
        return text.withUTF8 { bytes in
            part.withUTF8 { pattern in
                guard !pattern.isEmpty else { return [] }
                let failure = failureTable(pattern)
                var found: [Range<Int>] = []
                var matched = 0
                for (index, byte) in bytes.enumerated() {
                    guard found.count < limit else { break }
                    while matched > 0, pattern[matched] != byte { matched = failure[matched - 1] }
                    if pattern[matched] == byte { matched += 1 }
                    if matched == pattern.count {
                        found.append(index + 1 - matched..<index + 1)
                        matched = 0
                    }
                }
                return found
            }
        }
    }

    static func slice(_ text: String, _ range: Range<Int>) -> String {
        String(decoding: text.utf8.dropFirst(range.lowerBound).prefix(range.count), as: UTF8.self)
    }

    private static func search(
        _ bytes: UnsafeBufferPointer<UInt8>, _ pattern: UnsafeBufferPointer<UInt8>, from start: Int
    ) -> Range<Int>? {
        guard !pattern.isEmpty else { return start <= bytes.count ? start..<start : nil }
        guard start < bytes.count else { return nil }
        let failure = failureTable(pattern)
        var matched = 0
        for index in start..<bytes.count {
            while matched > 0, pattern[matched] != bytes[index] { matched = failure[matched - 1] }
            if pattern[matched] == bytes[index] { matched += 1 }
            if matched == pattern.count { return index + 1 - matched..<index + 1 }
        }
        return nil
    }

    /// Knuth, Morris and Pratt: how much of the pattern is matched still after a fault at each place.
    private static func failureTable(_ pattern: UnsafeBufferPointer<UInt8>) -> [Int] {
        var table = [Int](repeating: 0, count: pattern.count)
        var matched = 0
        for index in pattern.indices.dropFirst() {
            while matched > 0, pattern[matched] != pattern[index] { matched = table[matched - 1] }
            if pattern[matched] == pattern[index] { matched += 1 }
            table[index] = matched
        }
        return table
    }
}

extension TemplateText {
    /// Where `part` last starts in `text`, in bytes; places may overlap.
    static func lastRange(of part: String, in text: String) -> Int? {
        let reversedText = Array(text.utf8.reversed())
        let reversedPart = Array(part.utf8.reversed())
        let found = reversedText.withUnsafeBufferPointer { bytes in
            reversedPart.withUnsafeBufferPointer { search(bytes, $0, from: 0) }
        }
        return found.map { reversedText.count - $0.upperBound }
    }
}
