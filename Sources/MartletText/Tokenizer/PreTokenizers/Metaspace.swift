import MartletWire

/// SentencePiece's way with spaces: they become a visible character that words begin with.
struct Metaspace: Sendable {
    enum Prepending: Sendable { case always, first, never }

    let replacement: [UInt8]
    let prepending: Prepending
    private let isSplit: Bool

    init(_ json: JSON) throws {
        replacement = Array((json["replacement"]?.string ?? "\u{2581}").utf8)
        guard String(decoding: replacement, as: UTF8.self).unicodeScalars.count == 1 else {
            throw MartletError(.invalidData, "the tokenizer's Metaspace has a replacement that is not one character")
        }
        let scheme = json["prepend_scheme"]?.string ?? (json["add_prefix_space"]?.bool == false ? "never" : "always")
        switch scheme {
        case "always": prepending = .always
        case "first": prepending = .first
        case "never": prepending = .never
        default: throw TokenizerReader.unknown(scheme, "prepend_scheme")
        }
        if json["add_prefix_space"]?.bool == false, prepending != .never {
            throw MartletError(
                .invalidData, "the tokenizer's Metaspace has add_prefix_space false and prepend_scheme '\(scheme)'")
        }
        isSplit = json["split"]?.bool ?? true
    }

    func apply(_ text: inout PieceText) {
        text.rewrite { part in
            let start = part.bytes.isEmpty ? 0 : part.originalStart(0)
            part.replace(.literal([0x20]), with: replacement)
            if prepending == .always || (prepending == .first && start == 0), !part.bytes.starts(with: replacement) {
                part.prepend(replacement)
            }
        }
        guard isSplit else { return }
        let pattern = TextPattern.literal(replacement)
        text.cut(.mergedWithNext, at: pattern)
    }
}
