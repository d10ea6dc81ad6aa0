import Foundation
import MartletText
import MartletWire
import Testing

@Suite struct TokenizerSentencePieceTests {
    static let kinds = [
        "unigram", "unigram-bytes", "unigram-symbols", "unigram-ties", "bpe", "bpe-plain", "bpe-symbols", "char",
        "word",
    ]

    private func model(_ kind: String) throws -> Data {
        try Data(contentsOf: try TokenizerGolden().folder.appending(path: "\(kind).model"))
    }

    @Test(arguments: kinds) func aModelFileGivesTheIdentifiersOfSentencePiece(_ kind: String) throws {
        let golden = try TokenizerGolden()
        let tokenizer = try Tokenizer(json: try SentencePieceModel(try model(kind)).tokenizerJSON())
        let samples = try #require(golden.json["sentencepiece"]?[kind]?.array)
        #expect(samples.count > 50)
        for sample in samples {
            let text = try sample["text"]?.string ?? golden.text(#require(sample["index"]?.int))
            let ids = try tokenizer.encode(text).ids
            #expect(ids == sample["ids"]?.integers, "\(text.debugDescription)")
            #expect(try tokenizer.ids(of: text) == ids)
            // SentencePiece shows what it does not know as ⁇, Martlet leaves special tokens out.
            guard let decoded = sample["decoded"]?.string, !decoded.contains("\u{2047}") else { continue }
            #expect(
                tokenizer.decode(ids).unicodeScalars.elementsEqual(decoded.unicodeScalars), "\(text.debugDescription)")
        }
    }

    @Test func theBeginAndTheEndAreAddedWhereAsked() throws {
        let model = try SentencePieceModel(try model("bpe"))
        let plain = try Tokenizer(json: try model.tokenizerJSON()).encode("word").ids
        let both = try Tokenizer(json: try model.tokenizerJSON(addsBegin: true, addsEnd: true))
        #expect(try both.encode("word").ids == [1] + plain + [2])
        #expect(try both.encode("word", addSpecialTokens: false).ids == plain)
        #expect(both.decode([1] + plain + [2]) == "word")
    }

    @Test func fieldsThatNobodyReadsDoNoHarmHoweverManyThereAre() throws {
        let unknown: [UInt8] = [8 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0]
        let model = try model("bpe") + Data(repeatElement(unknown, count: 1_000_000).joined())
        let tokenizer = try Tokenizer(json: try SentencePieceModel(model).tokenizerJSON())
        #expect(
            try tokenizer.encode("word").ids
                == Tokenizer(json: try SentencePieceModel(try self.model("bpe")).tokenizerJSON()).encode("word").ids)
    }

    /// No vocabulary has pieces of megabytes; a file that has is read, and cuts texts, in a moment all the same.
    @Test(arguments: ["bpe", "unigram"]) func piecesOfMegabytesTakeNoTime(_ kind: String) throws {
        func varint(_ value: Int) -> [UInt8] {
            value < 128 ? [UInt8(value)] : [UInt8(value & 127 | 128)] + varint(value >> 7)
        }
        let long = 3_000_000
        let piece = [UInt8(1 << 3 | 2)] + varint(long) + [UInt8](repeating: UInt8(ascii: "a"), count: long)
        let file = try [UInt8](model(kind)) + [UInt8(1 << 3 | 2)] + varint(piece.count) + piece
        let text = String(repeating: "a", count: 300_000)
        let (ids, time) = try computed {
            try Tokenizer(json: try SentencePieceModel(file).tokenizerJSON()).encode(text).ids
        }
        // Every beginning of the piece at every place would be 10^11 steps.
        #expect(time < .seconds(60))
        let plain = try Tokenizer(json: try SentencePieceModel(try model(kind)).tokenizerJSON())
        #expect(try ids == plain.encode(text).ids)
    }

    /// Settings are added to the file's own, as messages of Protocol Buffers are joined.
    @Test func whatIsNotSupportedIsRefusedByItsName() throws {
        for (kind, field, name) in [("word", 35, "byte_fallback"), ("bpe", 24, "treat_whitespace_as_suffix")] {
            let setting: [UInt8] = [UInt8(field << 3 & 127 | 128), UInt8(field >> 4), 1]
            #expect {
                _ = try SentencePieceModel(model(kind) + [2 << 3 | 2, 3] + setting)
            } throws: { error in
                (error as? MartletError)?.message.contains(name) == true
            }
        }
    }

    @Test func damagedFilesAreRefused() throws {
        let whole = [UInt8](try model("bpe"))
        var refused = 0
        for cut in stride(from: 1, to: whole.count, by: 997) {
            do {
                _ = try Tokenizer(json: try SentencePieceModel(Array(whole[..<cut])).tokenizerJSON())
            } catch is MartletError {
                refused += 1
            }
        }
        #expect(refused > 3)
        for bytes in [
            [], [0xFF], Array("not a model".utf8), [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
        ] {
            #expect(throws: MartletError.self) { try SentencePieceModel(bytes) }
        }
    }
}
