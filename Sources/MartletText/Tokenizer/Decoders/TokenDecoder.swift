import MartletWire

/// What makes text of tokens again, one step after the other over a list of token texts.
indirect enum TokenDecoder: Sendable {
    case byteLevel
    case byteFallback
    case metaspace(replacement: [UInt8], keepsFirst: Bool)
    case wordPiece(prefix: [UInt8], cleansUp: Bool)
    case bpe(suffix: [UInt8])
    case fuse
    case strip(content: [UInt8], start: Int, stop: Int)
    case replace(TextPattern, with: [UInt8])
    case ctc(pad: [UInt8], delimiter: [UInt8], cleansUp: Bool)
    case sequence([TokenDecoder])

    /// Reads the `decoder` of a tokenizer.json. Throws `unsupportedFormat` for a kind that is not known.
    init(_ json: JSON) throws {
        let kind = json["type"]?.string ?? ""
        func text(_ key: String, _ standard: String) -> [UInt8] { Array((json[key]?.string ?? standard).utf8) }
        switch kind {
        case "ByteLevel": self = .byteLevel
        case "ByteFallback": self = .byteFallback
        case "Metaspace":
            let metaspace = try Metaspace(json)
            self = .metaspace(replacement: metaspace.replacement, keepsFirst: metaspace.prepending == .never)
        case "WordPiece":
            self = .wordPiece(prefix: text("prefix", "##"), cleansUp: json["cleanup"]?.bool ?? true)
        case "BPEDecoder": self = .bpe(suffix: text("suffix", "</w>"))
        case "Fuse": self = .fuse
        case "Strip":
            self = .strip(
                content: text("content", " "), start: max(0, json["start"]?.int ?? 0),
                stop: max(0, json["stop"]?.int ?? 0))
        case "Replace":
            self = .replace(try TextPattern(json["pattern"], of: "Replace decoder"), with: text("content", ""))
        case "CTC":
            self = .ctc(
                pad: text("pad_token", "<pad>"), delimiter: text("word_delimiter_token", "|"),
                cleansUp: json["cleanup"]?.bool ?? true)
        case "Sequence": self = .sequence(try (json["decoders"]?.array ?? []).map { try TokenDecoder($0) })
        default: throw TokenizerReader.unknown(kind, "decoder")
        }
        guard growth <= Self.growthLimit else {
            throw MartletError(
                .unsupportedFormat,
                "the tokenizer's decoder can make more than \(Int(Self.growthLimit)) bytes of one; use a tokenizer without "
                    + "such replacements")
        }
    }

    private static let growthLimit = 4096.0

    /// The most bytes that one byte of a token can become.
    private var growth: Double {
        switch self {
        case .byteLevel, .byteFallback: 3
        case .replace(.literal(let text), let content): max(1, Double(content.count) / Double(max(1, text.count)))
        case .replace(.regex, let content): Double(1 + content.count)
        case .sequence(let steps): steps.reduce(1) { $0 * $1.growth }
        case .metaspace, .wordPiece, .bpe, .fuse, .strip, .ctc: 1
        }
    }

    func apply(_ tokens: [[UInt8]]) -> [[UInt8]] {
        switch self {
        case .byteLevel:
            let bytes = tokens.flatMap { ByteAlphabet.bytes(of: $0) ?? $0 }
            return [Array(String(decoding: bytes, as: UTF8.self).utf8)]
        case .byteFallback: return Self.joinBytes(tokens)
        case .metaspace(let replacement, let keepsFirst):
            return tokens.enumerated().map { index, token in
                Self.replace(token, replacement, with: index == 0 && !keepsFirst ? [] : [0x20])
            }
        case .wordPiece(let prefix, let cleansUp):
            return tokens.enumerated().map { index, token in
                var text = token
                if index > 0 {
                    text = token.starts(with: prefix) ? Array(token.dropFirst(prefix.count)) : [0x20] + token
                }
                return cleansUp ? Self.cleanUp(text) : text
            }
        case .bpe(let suffix):
            return tokens.enumerated().map { index, token in
                Self.replace(token, suffix, with: index == tokens.count - 1 ? [] : [0x20])
            }
        case .fuse: return [tokens.flatMap { $0 }]
        case .strip(let content, let start, let stop):
            return tokens.map { Self.strip($0, content, start, stop) }
        case .replace(let pattern, let content):
            return tokens.map { Self.replace($0, matching: pattern, with: content) }
        case .ctc(let pad, let delimiter, let cleansUp):
            var result: [[UInt8]] = []
            for (index, token) in tokens.enumerated() where index == 0 || tokens[index - 1] != token {
                var text = Self.replace(token, pad, with: [])
                if cleansUp { text = Self.replace(Self.cleanUp(text), delimiter, with: [0x20]) }
                if !text.isEmpty { result.append(text) }
            }
            return result
        case .sequence(let steps): return steps.reduce(tokens) { $1.apply($0) }
        }
    }

    private static func replace(_ text: [UInt8], _ old: [UInt8], with new: [UInt8]) -> [UInt8] {
        replace(text, matching: .literal(old), with: new)
    }

    private static func replace(_ text: [UInt8], matching old: TextPattern, with new: [UInt8]) -> [UInt8] {
        var text = AlignedText(identity: text, keepsPlaces: false)
        text.replace(old, with: new)
        return text.bytes
    }

    private static func strip(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        guard !content.isEmpty else { return token }
        var first = 0
        for _ in 0..<start {
            guard token[first...].starts(with: content) else { break }
            first += content.count
        }
        var last = token.count
        for _ in 0..<stop {
            guard last - first >= content.count, token[(last - content.count)..<last].elementsEqual(content) else {
                break
            }
            last -= content.count
        }
        return Array(token[first..<last])
    }

    /// Joins runs of byte tokens; a run that is no UTF-8 becomes one replacement character a byte.
    private static func joinBytes(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var result: [[UInt8]] = []
        var pending: [UInt8] = []
        func flush() {
            guard !pending.isEmpty else { return }
            if String(validating: pending, as: UTF8.self) != nil {
                result.append(pending)
            } else {
                for _ in pending { result.append(Array("\u{FFFD}".utf8)) }
            }
            pending = []
        }
        for token in tokens {
            if let byte = ByteFallback.byte(of: token) {
                pending.append(byte)
            } else {
                flush()
                result.append(token)
            }
        }
        flush()
        return result
    }

    /// Takes out the spaces that cutting at punctuation put in English text.
    private static func cleanUp(_ text: [UInt8]) -> [UInt8] {
        guard text.contains(0x20) else { return text }
        let rules = [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ]
        return rules.reduce(text) { replace($0, Array($1.0.utf8), with: Array($1.1.utf8)) }
    }
}
