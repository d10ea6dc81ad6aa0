import Foundation
import MartletWire

extension SentencePieceModel {
    private static let space = "\u{2581}"

    /// The same tokenizer as a tokenizer.json, as `Tokenizer` and Hugging Face's libraries read it.
    ///
    /// Control pieces become special tokens and user-defined ones added tokens. With `addsBegin` and `addsEnd` texts get
    /// the tokens that begin and end a sentence, which the file does not say itself. `added` are the entries of further
    /// added tokens; one that is no piece gets the next number behind the pieces.
    public func tokenizerJSON(
        addsBegin: Bool = false, addsEnd: Bool = false, added: [JSON] = []
    ) throws -> Data {
        let begin = addsBegin ? try special(beginId, "begin") : nil
        let end = addsEnd ? try special(endId, "end") : nil
        var steps: [JSON] = []
        if !characterMap.isEmpty {
            steps.append([
                "type": "Precompiled", "precompiled_charsmap": .string(Data(characterMap).base64EncodedString()),
                // Martlet's own: Hugging Face's libraries pass over them, and go by user-perceived characters.
                "longest": true,
                "kept": .array(pieces.indices.filter { pieces[$0].kind == .userDefined }.map { .string(text($0)) }),
            ])
        }
        if removesSpaces {
            steps.append(Self.replace(regex: " {2,}", with: " "))
            steps.append(Self.replace(regex: #"\A "#, with: ""))
        }
        if addsSpace { steps.append(["type": "Prepend", "prepend": .string(Self.space)]) }
        steps.append(Self.replace(" ", with: Self.space))
        // At the end the visible character goes too, where the text has it.
        if removesSpaces { steps.append(Self.replace(regex: Self.space + #"+\z"#, with: "")) }
        var decoders: [JSON] = [Self.replace(Self.space, with: " "), ["type": "ByteFallback"], ["type": "Fuse"]]
        if addsSpace { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
        var out = #"{"version":"1.0","truncation":null,"padding":null,"added_tokens":"#
        out += JSON.array(addedTokens() + added).serialized()
        out += #","normalizer":"# + (["type": "Sequence", "normalizers": .array(steps)] as JSON).serialized()
        out += #","pre_tokenizer":"# + (kind == .word ? Self.words : .null).serialized()
        out += #","post_processor":"# + Self.template(begin, end).serialized()
        out += #","decoder":"# + (["type": "Sequence", "decoders": .array(decoders)] as JSON).serialized()
        out += #","model":"# + (try modelJSON()) + "}"
        return Data(out.utf8)
    }

    private func modelJSON() throws -> String {
        switch kind {
        case .unigram: unigram()
        case .word: try word()
        // Characters are pieces that nothing joins.
        case .bpe, .character: try bpe()
        }
    }

    /// Words begin with the visible character for a space.
    private static let words: JSON = [
        "type": "Split", "pattern": ["String": .string(space)], "behavior": "MergedWithNext", "invert": false,
    ]

    /// Whether a piece is found in every text before it is cut. Words are looked up as they are.
    private func isSymbol(_ id: Int) -> Bool { pieces[id].kind == .userDefined && kind != .word }

    /// The texts of the pieces.
    public var pieceTexts: [[UInt8]] { pieces.map(\.text) }

    /// Whether there is a token for the begin of a sentence.
    public var hasBegin: Bool { pieces.indices.contains(beginId) }

    private func special(_ id: Int, _ what: String) throws -> (String, Int) {
        guard pieces.indices.contains(id) else {
            throw MartletError(
                .invalidRequest, "the SentencePiece model has no token for the \(what) of a sentence; do without it")
        }
        return (text(id), id)
    }

    private func text(_ id: Int) -> String { String(decoding: pieces[id].text, as: UTF8.self) }

    private static func replace(regex: String, with content: String) -> JSON {
        ["type": "Replace", "pattern": ["Regex": .string(regex)], "content": .string(content)]
    }

    private static func replace(_ text: String, with content: String) -> JSON {
        ["type": "Replace", "pattern": ["String": .string(text)], "content": .string(content)]
    }

    private func addedTokens() -> [JSON] {
        pieces.enumerated().compactMap { id, piece in
            let isSpecial = piece.kind == .control || piece.kind == .unknown
            guard isSpecial || isSymbol(id) else { return nil }
            var token: JSONObject = [
                "id": JSON(id), "content": .string(text(id)), "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": .bool(!isSpecial && !addsSpace), "special": .bool(isSpecial),
            ]
            // Martlet's own: as it is, in the prepared text. Hugging Face's libraries would put a space before it too.
            if !isSpecial { token["literal"] = true }
            return .object(token)
        }
    }

    private static func template(_ begin: (String, Int)?, _ end: (String, Int)?) -> JSON {
        guard begin != nil || end != nil else { return .null }
        func side(_ name: String, _ type: Int) -> [JSON] {
            func token(_ token: (String, Int)?) -> [JSON] {
                token.map { [["SpecialToken": ["id": .string($0.0), "type_id": JSON(type)]]] } ?? []
            }
            return token(begin) + [["Sequence": ["id": .string(name), "type_id": JSON(type)]]] + token(end)
        }
        var specials = JSONObject()
        for (text, id) in [begin, end].compactMap({ $0 }) {
            specials[text] = ["id": .string(text), "ids": .array([JSON(id)]), "tokens": .array([.string(text)])]
        }
        return [
            "type": "TemplateProcessing", "single": .array(side("A", 0)), "pair": .array(side("A", 0) + side("B", 1)),
            "special_tokens": .object(specials),
        ]
    }

    private var unknownId: Int? { pieces.firstIndex { $0.kind == .unknown } }

    private func quoted(_ id: Int) -> String {
        var out = ""
        JSON.quote(text(id), to: &out)
        return out
    }

    private func unigram() -> String {
        let list = pieces.indices.map { "[\(quoted($0)),\(Double(pieces[$0].score))]" }.joined(separator: ",")
        let hidden = pieces.indices.filter { pieces[$0].kind != .normal }.map(String.init).joined(separator: ",")
        return
            #"{"type":"Unigram","unk_id":\#(unknownId.map(String.init) ?? "null"),"byte_fallback":\#(fallsBackToBytes),"#
            // Martlet's own: tokens that no text is cut into, and sums of 32 bits, which decide where two ways are alike.
            + #""hidden":[\#(hidden)],"single_precision":true,"vocab":[\#(list)]}"#
    }

    private func word() throws -> String {
        _ = try table()
        return #"{"type":"WordLevel","unk_token":\#(unknownId.map { quoted($0) } ?? "null"),"fuse_unk":true,"#
            + #""vocab":{\#(vocabulary)}}"#
    }

    private var vocabulary: String { pieces.indices.map { "\(quoted($0)):\($0)" }.joined(separator: ",") }

    /// Pieces by their texts.
    private func table() throws -> ByteTable {
        var table = ByteTable(minimumCapacity: pieces.count)
        for (id, piece) in pieces.enumerated() {
            guard table.value(piece.text) < 0 else {
                throw MartletError(
                    .invalidData, "the SentencePiece file has the piece '\(text(id))' twice; copy it again")
            }
            table.set(piece.text, Int32(id))
        }
        return table
    }

    /// Every way to join two pieces into a third is a merge; pieces of a higher score are joined first.
    private func bpe() throws -> String {
        let table = try table()
        var merges: [(score: Float, left: Int, right: Int, leftCount: Int)] = []
        // No merge makes a longer piece than any vocabulary has: all its cuts would take their time.
        for piece in pieces where piece.kind == .normal && (2...1024).contains(piece.text.count) {
            var scalars = 0
            for cut in 1..<piece.text.count where piece.text[cut] & 0xC0 != 0x80 {
                scalars += 1
                let left = Int(table.value(piece.text[..<cut]))
                let right = Int(table.value(piece.text[cut...]))
                guard left >= 0, right >= 0, pieces[left].kind == .normal, pieces[right].kind == .normal else {
                    continue
                }
                merges.append((piece.score, left, right, scalars))
            }
        }
        let order = merges.indices.sorted {
            (merges[$1].score, merges[$1].leftCount, $0) < (merges[$0].score, merges[$0].leftCount, $1)
        }
        let list = order.map { "[\(quoted(merges[$0].left)),\(quoted(merges[$0].right))]" }.joined(separator: ",")
        let unknown = unknownId.map { quoted($0) } ?? "null"
        return #"{"type":"BPE","dropout":null,"unk_token":\#(unknown),"continuing_subword_prefix":null,"#
            + #""end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":\#(fallsBackToBytes),"ignore_merges":false,"#
            + #""vocab":{\#(vocabulary)},"merges":[\#(list)]}"#
    }
}
