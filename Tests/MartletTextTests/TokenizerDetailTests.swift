import Foundation
import MartletText
import MartletWire
import Testing

/// Small tokenizers at the edges of what real ones do; the identifiers and places are those of `tokenizers` 0.23.3.
@Suite struct TokenizerDetailTests {
    private static func tokenizer(
        _ model: JSON, added: [(id: Int, content: String, flags: Set<String>)] = [], preTokenizer: JSON = .null,
        postProcessor: JSON = .null
    ) throws -> Tokenizer {
        let tokens = added.map { token -> JSON in
            var fields: JSONObject = ["id": JSON(token.id), "content": .string(token.content), "normalized": false]
            for flag in ["single_word", "lstrip", "rstrip", "special"] {
                fields[flag] = .bool(token.flags.contains(flag))
            }
            return .object(fields)
        }
        let whole: JSON = [
            "version": "1.0", "added_tokens": .array(tokens), "pre_tokenizer": preTokenizer,
            "post_processor": postProcessor, "model": model,
        ]
        return try Tokenizer(json: whole.data)
    }

    private static func pairs(_ tokens: [String], _ more: JSONObject = [:]) -> JSON {
        var model: JSONObject = [
            "type": "BPE", "unk_token": "?", "fuse_unk": false, "byte_fallback": false, "merges": [],
            "vocab": .object(JSONObject(tokens.enumerated().map { ($1, JSON($0)) })),
        ]
        for (key, value) in more { model[key] = value }
        return .object(model)
    }

    private static func expect(_ tokenizer: Tokenizer, _ text: String, _ ids: [Int], _ places: [Int]) throws {
        let encoding = try tokenizer.encode(text)
        #expect(encoding.ids == ids, "\(text.debugDescription)")
        #expect(encoding.offsets.flatMap { [$0.lowerBound, $0.upperBound] } == places, "\(text.debugDescription)")
    }

    private static let trimming: JSON = ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true]

    /// What the token before has taken is not taken again.
    @Test func addedTokensShareNoSpaces() throws {
        let tokenizer = try Self.tokenizer(
            Self.pairs(["?", "a"]),
            added: [(2, "\n", ["lstrip", "rstrip"]), (3, " <x> ", ["lstrip", "rstrip"])])
        try Self.expect(tokenizer, "\n\n", [2], [0, 2])
        try Self.expect(tokenizer, "a\n\n a", [1, 2, 1], [0, 1, 1, 4, 4, 5])
        try Self.expect(tokenizer, "  <x>  <x> a", [3, 3, 1], [0, 7, 7, 11, 11, 12])
    }

    /// The next token is numbered behind all places of the list.
    @Test func aListMayHaveATokenTwice() throws {
        let tokenizer = try Self.tokenizer(
            [
                "type": "Unigram", "unk_id": 0, "byte_fallback": false,
                "vocab": [["<unk>", 0.0], ["a", -1.0], ["a", -2.0], ["b", -3.0]],
            ], added: [(4, "<x>", ["special"])])
        try Self.expect(tokenizer, "ab<x>", [2, 3, 4], [0, 1, 1, 2, 2, 5])
        #expect(tokenizer.vocabularySize == 5)
    }

    /// The spaces of a token are those of its name, not of the text that is unknown.
    @Test func unknownTextKeepsItsSpaces() throws {
        let model: JSON = [
            "type": "WordPiece", "unk_token": "[U]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 4,
            "vocab": ["[U]": 0, "x": 1, "[C]": 2],
        ]
        let tokenizer = try Self.tokenizer(model, added: [(0, "[U]", ["special"])], postProcessor: Self.trimming)
        try Self.expect(tokenizer, " long words ", [0], [0, 12])
        try Self.expect(tokenizer, "x[U] ", [1, 0, 0], [0, 1, 1, 4, 4, 5])
    }

    @Test func spacesAreTrimmedBehindATokenThatWasPutIn() throws {
        let wrapping: JSON = ["type": "BertProcessing", "sep": ["<c>", 3], "cls": ["<c>", 3]]
        let tokenizer = try Self.tokenizer(
            Self.pairs(["?", "a", " "]), added: [(3, "<c>", ["special"])],
            postProcessor: ["type": "Sequence", "processors": [wrapping, Self.trimming]])
        try Self.expect(tokenizer, "a a", [3, 1, 2, 1, 3], [0, 0, 0, 1, 2, 2, 2, 3, 0, 0])
        #expect(try tokenizer.ids(of: "a a") == [3, 1, 2, 1, 3])
    }

    /// Oniguruma takes `\w` for more on its own than in a set.
    @Test func superscriptsAreWordsOutsideOfSets() throws {
        func tokenizer(_ pattern: String) throws -> Tokenizer {
            try Self.tokenizer(
                Self.pairs(["?"], ["fuse_unk": true]),
                preTokenizer: ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated"])
        }
        try Self.expect(try tokenizer(#"\w+|[^\w\s]+"#), "à¸³²x½", [0, 0, 0], [0, 1, 1, 4, 4, 6])
        try Self.expect(try tokenizer(#"\w+|[^\w\s]+"#), "[½", [0], [0, 2])
        try Self.expect(try tokenizer(#"[\w]+"#), "à³x", [0, 0, 0], [0, 1, 1, 2, 2, 3])
    }

    /// Where a byte token is missing, the unknown token comes behind the bytes that follow, in long words too.
    @Test func missingByteTokensDoNotChangeWithTheLengthOfAWord() throws {
        let bytes = (0..<256).filter { $0 != 0x84 }.map { byte in
            "<0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true) + ">"
        }
        let tokenizer = try Self.tokenizer(Self.pairs(["?", "a", "é"] + bytes, ["byte_fallback": true]))
        let end = "\u{104}\u{100}aé\u{104}\u{100}b"
        for text in ["a" + end, String(repeating: "a", count: 70) + end] {
            let ids = try tokenizer.encode(text).ids
            #expect(Array(ids.suffix(10)) == [1, 198, 131, 0, 1, 2, 198, 131, 101, 0])
        }
    }
}
