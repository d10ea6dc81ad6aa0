import Foundation
import MartletText
import MartletWire

/// The tokenizer of a folder that has SentencePiece's file and no tokenizer.json.
enum SentencePieceTokenizer {
    private static let names = ["spiece.model", "tokenizer.model"]
    /// How many marks for gaps a T5 has where nothing says another number.
    private static let gapCount = 100
    private static let gapLimit = 1 << 16
    private static let gap = "<extra_id_"

    /// The tokenizer.json that `transformers` makes of such a folder; nil where there is no such file, or another kind of
    /// file has its name.
    /// - Throws: `MartletError` where the file is damaged or its tokens do not fit the ones that the folder adds.
    static func json(_ folder: ModelFolder) throws -> Data? {
        guard folder.tokenizer == nil, let file = names.lazy.compactMap(folder.file).first,
            let data = try ModelFolder.data(file, limit: ModelFolder.jsonLimit), data.first == 0x0A
        else { return nil }
        let model = try SentencePieceModel(data)
        let readsSource = T5.has(folder.config)
        let settings = folder.tokenizerConfig
        let pieces = model.pieceTexts
        let known = Set(pieces)
        let listed = try added(folder, pieces.count, known)
        let json = try model.tokenizerJSON(
            addsBegin: !readsSource && settings?["add_bos_token"]?.bool ?? model.hasBegin,
            addsEnd: readsSource || settings?["add_eos_token"]?.bool ?? false,
            added: listed + (readsSource ? try gaps(folder, behind: pieces.count + listed.count, known, listed) : []))
        _ = try Tokenizer(json: json)
        return json
    }

    /// The tokens that tokenizer_config.json, or in older folders added_tokens.json, puts behind the pieces.
    private static func added(
        _ folder: ModelFolder, _ pieceCount: Int, _ known: Set<[UInt8]>
    ) throws -> [JSON] {
        var found: [(id: Int, token: JSONObject)] = []
        if let listed = folder.tokenizerConfig?["added_tokens_decoder"]?.object {
            for (key, value) in listed {
                guard let id = Int(key), let token = value.object, let content = value["content"]?.string,
                    !content.isEmpty
                else {
                    throw MartletError(
                        .invalidData, "'\(key)' of 'added_tokens_decoder' in tokenizer_config.json is no token")
                }
                if !known.contains(Array(content.utf8)) { found.append((id, token)) }
            }
        } else if let file = folder.file("added_tokens.json") {
            for (content, value) in try ModelFolder.json(file, limit: ModelFolder.jsonLimit).object ?? [:] {
                guard let id = value.int, !content.isEmpty else {
                    throw MartletError(.invalidData, "added_tokens.json gives '\(content)' no whole number as its id")
                }
                if !known.contains(Array(content.utf8)) { found.append((id, special(content))) }
            }
        }
        found.sort { $0.id < $1.id }
        for (place, item) in found.enumerated() where item.id != pieceCount + place {
            throw MartletError(
                .invalidData,
                "the folder gives '\(item.token["content"]?.string ?? "")' the id \(item.id), but the next one behind the "
                    + "tokens of its SentencePiece file is \(pieceCount + place)")
        }
        return found.map { id, token in
            var token = token
            token["id"] = JSON(id)
            return .object(token)
        }
    }

    /// The marks for gaps that T5 numbers backwards behind its pieces, where neither file has them.
    private static func gaps(
        _ folder: ModelFolder, behind start: Int, _ known: Set<[UInt8]>, _ listed: [JSON]
    ) throws -> [JSON] {
        let first = gap + "0>"
        guard !known.contains(Array(first.utf8)), !listed.contains(where: { $0["content"]?.string == first }) else {
            return []
        }
        let room = max(0, (folder.config["vocab_size"]?.int ?? 32_128) - start)
        let count = folder.tokenizerConfig?["extra_ids"]?.int ?? (room >= gapCount ? gapCount : 0)
        guard count <= gapLimit else {
            throw MartletError(
                .invalidData, "'extra_ids' of tokenizer_config.json is \(count); at most \(gapLimit) are supported")
        }
        return (0..<min(max(0, count), room)).reversed().enumerated().map { place, number in
            var token = special(gap + "\(number)>")
            token["id"] = JSON(start + place)
            return .object(token)
        }
    }

    private static func special(_ content: String) -> JSONObject {
        [
            "content": .string(content), "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true,
        ]
    }
}
