import MartletWire

/// What is done to the tokens of a text or of a pair: special tokens, type ids, offsets without spaces.
indirect enum PostProcessor: Sendable {
    enum Part: Sendable {
        case text(Int, type: Int)
        case special([Int], type: Int)
    }

    case template(single: [Part], pair: [Part])
    case trim(addsSpace: Bool)
    case bert(start: Int, end: Int)
    case roberta(start: Int, end: Int, trims: Bool, addsSpace: Bool)
    case sequence([PostProcessor])
    /// ByteLevel with nothing to trim.
    case nothing

    /// Reads the `post_processor` of a tokenizer.json. Throws `unsupportedFormat` for a kind that is not known.
    init(_ json: JSON) throws {
        let kind = json["type"]?.string ?? ""
        func token(_ key: String) throws -> Int {
            guard let pair = json[key]?.array, pair.count == 2, let id = pair[1].int, id >= 0 else {
                throw MartletError(.invalidData, "the tokenizer's \(kind) has no '\(key)' of a token and its id")
            }
            return id
        }
        switch kind {
        case "TemplateProcessing":
            let single = try Self.parts(json["single"], json["special_tokens"])
            self = .template(single: single, pair: try Self.parts(json["pair"], json["special_tokens"]))
        case "ByteLevel":
            self =
                json["trim_offsets"]?.bool ?? true
                ? .trim(addsSpace: json["add_prefix_space"]?.bool ?? true) : .nothing
        case "BertProcessing": self = .bert(start: try token("cls"), end: try token("sep"))
        case "RobertaProcessing":
            self = .roberta(
                start: try token("cls"), end: try token("sep"), trims: json["trim_offsets"]?.bool ?? true,
                addsSpace: json["add_prefix_space"]?.bool ?? true)
        case "Sequence": self = .sequence(try (json["processors"]?.array ?? []).map { try PostProcessor($0) })
        default: throw TokenizerReader.unknown(kind, "post-processor")
        }
    }

    private static let typeLimit = 1 << 16
    private static let partLimit = 64

    private static func parts(_ list: JSON?, _ specials: JSON?) throws -> [Part] {
        func type(_ part: JSON) throws -> Int {
            guard let value = part["type_id"] else { return 0 }
            guard let id = value.int, (0..<typeLimit).contains(id) else {
                throw MartletError(
                    .invalidData,
                    "the tokenizer's template has the type_id \(value.serialized().prefix(40)); it is a number from 0 to "
                        + "\(typeLimit - 1)")
            }
            return id
        }
        let entries = list?.array ?? []
        // Each text part is a copy of the text's tokens.
        guard entries.count <= partLimit else {
            throw MartletError(
                .unsupportedFormat,
                "the tokenizer's template has \(entries.count) parts; at most \(partLimit) are supported")
        }
        return try entries.map { entry in
            if let text = entry["Sequence"] {
                guard let name = text["id"]?.string, ["A", "B"].contains(name) else {
                    throw MartletError(.invalidData, "the tokenizer's template names a text that is not A or B")
                }
                return .text(name == "A" ? 0 : 1, type: try type(text))
            }
            guard let special = entry["SpecialToken"], let name = special["id"]?.string,
                let ids = specials?[name]?["ids"]?.array?.compactMap({ $0.int }), !ids.isEmpty,
                ids.allSatisfy({ $0 >= 0 })
            else {
                throw MartletError(
                    .invalidData, "the tokenizer's template names a special token that it does not define")
            }
            return .special(ids, type: try type(special))
        }
    }

    /// Whether offsets lose their spaces, so that spaces have to be counted.
    var trimsOffsets: Bool {
        switch self {
        case .trim: true
        case .roberta(_, _, let trims, _): trims
        case .sequence(let parts): parts.contains { $0.trimsOffsets }
        default: false
        }
    }

    /// Applies to one text or two, which have margins where this `trimsOffsets`.
    func apply(_ encodings: [Encoding], addSpecialTokens: Bool) -> [Encoding] {
        switch self {
        case .nothing: return encodings
        case .trim(let addsSpace): return encodings.map { Self.trim($0, addsSpace: addsSpace) }
        case .bert(let start, let end):
            return Self.wrap(encodings, start, end, isRoberta: false, addSpecialTokens)
        case .roberta(let start, let end, let trims, let addsSpace):
            let texts = trims ? encodings.map { Self.trim($0, addsSpace: addsSpace) } : encodings
            return Self.wrap(texts.map { $0.typed(0) }, start, end, isRoberta: true, addSpecialTokens)
        case .template(let single, let pair):
            return (encodings.count == 1 ? single : pair).compactMap { part in
                switch part {
                case .text(let index, let type): index < encodings.count ? encodings[index].typed(type) : nil
                case .special(let ids, let type): addSpecialTokens ? .special(ids, type: type) : nil
                }
            }
        case .sequence(let parts):
            return parts.reduce(encodings) { $1.apply($0, addSpecialTokens: addSpecialTokens) }
        }
    }

    private static func wrap(
        _ encodings: [Encoding], _ start: Int, _ end: Int, isRoberta: Bool, _ addSpecialTokens: Bool
    ) -> [Encoding] {
        guard addSpecialTokens else { return encodings }
        return encodings.enumerated().map { index, text in
            var result = Encoding()
            if index == 0 || isRoberta { result.append(.special([index == 0 ? start : end], type: 0)) }
            result.append(text)
            result.append(.special([end], type: isRoberta ? 0 : index))
            return result
        }
    }

    private static func trim(_ encoding: Encoding, addsSpace: Bool) -> Encoding {
        var result = encoding
        for (index, margin) in encoding.margins.enumerated() where index < encoding.offsets.count {
            var start = encoding.offsets[index].lowerBound
            var end = encoding.offsets[index].upperBound
            var leading = margin.leading
            if leading > 0 {
                // A single space at the start is the one that was added.
                if index == 0 || start == 0, addsSpace, leading == 1 { leading = 0 }
                start = min(start + leading, end)
            }
            if margin.trailing > 0, end >= margin.trailing { end = max(end - margin.trailing, start) }
            result.offsets[index] = start..<end
        }
        return result
    }
}
