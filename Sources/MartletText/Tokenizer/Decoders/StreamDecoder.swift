/// Text from tokens as they come, in whole characters only.
///
/// What it gives, joined, is what `Tokenizer.decode` gives for all the tokens, but for one case: a run of byte tokens that
/// is no UTF-8 as a whole shows the characters that were complete before the fault.
public struct StreamDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipsSpecial: Bool
    private var pending: [UInt8] = []
    private var pendingAreBytes = false
    private var hasText = false
    private var strips: Int
    /// Tokens and what has been given of them, where text cannot be told token by token.
    private var window: [Int] = []
    private var given = 0

    init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
        self.tokenizer = tokenizer
        skipsSpecial = skipSpecialTokens
        if case .strips(_, let count) = tokenizer.tokenBytes.first { strips = count } else { strips = 0 }
    }

    /// The text that `id` completes; empty while a character is incomplete.
    public mutating func append(_ id: Int) -> String {
        guard let token = tokenizer.text(of: id), !(skipsSpecial && tokenizer.isSpecial(id)) else { return "" }
        guard tokenizer.tokenBytes.isExact else { return appendToWindow(id) }
        let isByte = tokenizer.tokenBytes.isByte(token)
        var out = ""
        if pendingAreBytes, !isByte { out += flushBytes() }
        var bytes = hasText ? tokenizer.tokenBytes.bytes(of: token) : tokenizer.tokenBytes.firstBytes(of: token)
        hasText = true
        pendingAreBytes = isByte
        if !isByte, case .strips(let content, _) = tokenizer.tokenBytes.first, strips > 0, !bytes.isEmpty {
            while strips > 0, bytes.starts(with: content) {
                bytes.removeFirst(content.count)
                strips -= 1
            }
            if !bytes.isEmpty { strips = 0 }
        } else if isByte {
            strips = 0
        }
        pending += bytes
        return out + takeWhole()
    }

    /// What is left when no token follows: an incomplete character becomes U+FFFD.
    public mutating func finish() -> String {
        if !tokenizer.tokenBytes.isExact {
            let text = Array(tokenizer.decode(window, skipSpecialTokens: skipsSpecial).utf8)
            let rest = String(decoding: text.dropFirst(given), as: UTF8.self)
            window = []
            given = 0
            return rest
        }
        if pendingAreBytes { return flushBytes() }
        let rest = String(decoding: pending, as: UTF8.self)
        pending = []
        return rest
    }

    /// Byte tokens that never became a character: one U+FFFD each.
    private mutating func flushBytes() -> String {
        let rest = String(repeating: "\u{FFFD}", count: pending.count)
        pending = []
        return rest
    }

    /// Takes what cannot change any more: all but an incomplete character at the end.
    private mutating func takeWhole() -> String {
        var end = pending.count
        // A character has at most four bytes; only its last, incomplete one waits.
        for back in 1...4 where back <= pending.count {
            let byte = pending[pending.count - back]
            if byte & 0xC0 == 0x80 { continue }
            if byte >= 0xC2, byte < 0xF5, Self.couldContinue(pending[(pending.count - back)...]) {
                end = pending.count - back
            }
            break
        }
        guard end > 0 else { return "" }
        if pendingAreBytes, String(validating: pending[..<end], as: UTF8.self) == nil { return "" }
        let text = String(decoding: pending[..<end], as: UTF8.self)
        pending.removeFirst(end)
        return text
    }

    /// Whether bytes are the beginning of a character that lacks some.
    private static func couldContinue(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let first = bytes.first, bytes.count < UTF8Scan.length(first) else { return false }
        guard bytes.count > 1, let second = bytes.dropFirst().first else { return true }
        switch first {
        case 0xE0: return second >= 0xA0
        case 0xED: return second < 0xA0
        case 0xF0: return second >= 0x90
        case 0xF4: return second < 0x90
        default: return true
        }
    }

    /// Decodes the last tokens anew, and keeps as many as the next ones may depend on.
    private mutating func appendToWindow(_ id: Int) -> String {
        window.append(id)
        let text = Array(tokenizer.decode(window, skipSpecialTokens: skipsSpecial).utf8)
        guard text.count > given, !text.suffix(3).elementsEqual("\u{FFFD}".utf8) else { return "" }
        let new = String(decoding: text.dropFirst(given), as: UTF8.self)
        if window.count > 8 {
            window.removeFirst(window.count - 4)
            given = tokenizer.decode(window, skipSpecialTokens: skipsSpecial).utf8.count
        } else {
            given = text.count
        }
        return new
    }
}
