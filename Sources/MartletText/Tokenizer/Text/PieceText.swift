/// A part of a text: still to be cut, or a token already.
struct Piece: Sendable {
    // A long text has as many pieces as bytes, or nearly, and its bytes are fewer than 2³¹.
    private let first: Int32
    private let past: Int32
    /// The added token that this part is, or −1.
    let token: Int32

    var start: Int { Int(first) }
    var end: Int { Int(past) }

    @inline(__always)
    init(start: Int, end: Int, token: Int32 = -1) {
        first = Int32(truncatingIfNeeded: start)
        past = Int32(truncatingIfNeeded: end)
        self.token = token
    }
}

/// A text and the parts it has been cut into.
struct PieceText: Sendable {
    var text: AlignedText
    var pieces: [Piece]

    /// Replaces each part that is no token by the parts `cut` makes of it. Empty parts are left out.
    mutating func split(_ cut: (UnsafePointer<UInt8>, Piece, inout [Piece]) -> Void) {
        var result: [Piece] = []
        result.reserveCapacity(max(pieces.count, text.bytes.count / 4))
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            for piece in pieces {
                if piece.token >= 0 {
                    result.append(piece)
                } else if piece.start < piece.end {
                    cut(base, piece, &result)
                }
            }
        }
        pieces = result
    }

    /// Rewrites each part that is no token.
    mutating func rewrite(_ change: (inout AlignedText) throws -> Void) rethrows {
        if pieces.count == 1, let only = pieces.first, only.token < 0, only.start == 0, only.end == text.bytes.count {
            try change(&text)
            pieces = text.bytes.isEmpty ? [] : [Piece(start: 0, end: text.bytes.count)]
            return
        }
        text.align()
        var result = AlignedText(capacity: text.bytes.count, keepsPlaces: text.keepsPlaces)
        var kept: [Piece] = []
        kept.reserveCapacity(pieces.count)
        for piece in pieces {
            let start = result.bytes.count
            if piece.token >= 0 {
                result.append(text, piece.start..<piece.end)
            } else {
                var part = text.slice(piece.start..<piece.end)
                try change(&part)
                result.append(part, 0..<part.bytes.count)
            }
            if result.bytes.count > start {
                kept.append(Piece(start: start, end: result.bytes.count, token: piece.token))
            }
        }
        text = result
        pieces = kept
    }
}
