/// Finds stop texts in bytes as they come, whichever tokens they are split over, in constant time for each byte
/// (Knuth, Morris and Pratt, 1977).
public struct StopMatcher: Sendable {
    private struct Pattern {
        var bytes: [UInt8]
        /// The longest beginning that is also the end of the first i bytes.
        var fallback: [Int]
        var matched = 0
    }

    private var patterns: [Pattern]

    /// Empty texts stop nothing.
    public init(_ stops: [String]) {
        patterns = stops.filter { !$0.isEmpty }.map { text in
            let bytes = Array(text.utf8)
            var fallback = [0, 0]
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0, bytes[index] != bytes[length] { length = fallback[length] }
                if bytes[index] == bytes[length] { length += 1 }
                fallback.append(length)
            }
            return Pattern(bytes: bytes, fallback: fallback)
        }
    }

    /// Takes one byte; the length of the longest stop text that ends with it, or nil.
    public mutating func push(_ byte: UInt8) -> Int? {
        var found: Int?
        for index in patterns.indices {
            var matched = patterns[index].matched
            while matched > 0, patterns[index].bytes[matched] != byte { matched = patterns[index].fallback[matched] }
            if patterns[index].bytes[matched] == byte { matched += 1 }
            if matched == patterns[index].bytes.count {
                found = max(found ?? 0, matched)
                matched = patterns[index].fallback[matched]
            }
            patterns[index].matched = matched
        }
        return found
    }

    /// Bytes at the end that may be the beginning of a stop text.
    public var heldCount: Int { patterns.reduce(0) { max($0, $1.matched) } }
}
