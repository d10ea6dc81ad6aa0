import MartletWire

/// Turns the bytes of an answer's tokens into text as it may be shown: whole characters, and nothing that may yet turn
/// out to be a stop text.
public struct AnswerText: Sendable {
    public struct Piece: Sendable, Equatable {
        public var text: String
        /// Tokens that end in this text.
        public var tokens: [TokenChance]
        public var isEmpty: Bool { text.isEmpty && tokens.isEmpty }
    }

    private var stops: StopMatcher
    private var held: [UInt8] = []
    /// Tokens that are not given out, with the place in `held` where each ends.
    private var tokens: [(chance: TokenChance, end: Int)] = []
    /// Whether a stop text has come: there is no more text.
    public private(set) var isStopped = false

    public init(stops: [String]) { self.stops = StopMatcher(stops) }

    /// Takes the bytes of a token.
    /// - Parameter chance: what to tell of the token; nil where nobody asked.
    public mutating func push(_ bytes: [UInt8], _ chance: TokenChance?) -> Piece {
        guard !isStopped else { return Piece(text: "", tokens: []) }
        let before = held.count
        for byte in bytes {
            held.append(byte)
            if let length = stops.push(byte) {
                isStopped = true
                held.removeLast(min(length, held.count))
                tokens.removeAll { $0.end > held.count }
                if let chance, before < held.count { tokens.append((chance, held.count)) }
                return flush()
            }
        }
        if let chance { tokens.append((chance, held.count)) }
        return give(held.count - max(stops.heldCount, Self.unfinished(held)))
    }

    /// The rest, when there are no more tokens.
    public mutating func flush() -> Piece { give(held.count) }

    private mutating func give(_ count: Int) -> Piece {
        guard count > 0 || tokens.contains(where: { $0.end <= count }) else { return Piece(text: "", tokens: []) }
        // A held stop text may begin inside a character of its own bytes, never inside one of the text before it.
        let text = String(decoding: held[..<max(0, count)], as: UTF8.self)
        let done = tokens.prefix { $0.end <= count }
        held.removeFirst(max(0, count))
        tokens.removeFirst(done.count)
        for index in tokens.indices { tokens[index].end -= max(0, count) }
        return Piece(text: text, tokens: done.map(\.chance))
    }

    /// Bytes at the end that begin a character and do not end it.
    static func unfinished(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 && byte < 0xF8 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return byte < 0xF8 && length > back ? back : 0
        }
        return 0
    }
}
