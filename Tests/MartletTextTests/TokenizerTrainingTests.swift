import Foundation
import MartletText
import MartletWire
import Testing

@Suite struct TokenizerTrainingTests {
    @Test func trainingGivesTheVocabularyOfTokenizers() throws {
        let golden = try TokenizerGolden()
        let expected = try #require(golden.json["training"])
        let seed = UInt64(try #require(expected["seed"]?.int))
        var trainer = try BPETrainer(
            .init(
                vocabularySize: try #require(expected["size"]?.int), specialTokens: ["<|endoftext|>", "<|pad|>"],
                minimumCount: 2))
        for index in 0..<(try #require(expected["texts"]?.int)) { trainer.add(RandomText.string(seed: seed, index)) }
        let json = trainer.train()
        let tree = try JSONParser.parse(json, limits: .trusted)
        let vocabulary = try #require(tree["model"]?["vocab"]?.object)
        #expect(vocabulary.map { $0.key } == (expected["vocab"]?.array ?? []).compactMap { $0.string })
        #expect(vocabulary.map { $0.value.int ?? -1 } == Array(0..<900))
        #expect(tree["model"]?["merges"] == expected["merges"])
        let tokenizer = try Tokenizer(json: json)
        let ids = try tokenizer.ids(of: "Größe<|endoftext|>")
        #expect(tokenizer.decode(ids, skipSpecialTokens: false) == "Größe<|endoftext|>")
        #expect(ids.last == 0)
    }

    @Test func trainingWithAPatternIsReadBack() throws {
        var trainer = try BPETrainer(
            .init(vocabularySize: 300, minimumCount: 1, pattern: #"\p{N}|\p{L}+|[^\p{N}\p{L}]"#))
        trainer.add(String(repeating: "12 12 abab ", count: 20))
        let tokenizer = try Tokenizer(json: trainer.train())
        #expect(tokenizer.vocabularySize < 300)
        #expect(try tokenizer.encode("12abab").ids.count == 3)
        #expect(tokenizer.token(of: tokenizer.vocabularySize - 1) == "abab")
    }

    @Test func sizesThatCannotBeAreRefused() {
        for size in [0, 256, 1 << 30] {
            #expect(throws: MartletError.self) { try BPETrainer(.init(vocabularySize: size)) }
        }
        #expect(throws: MartletError.self) { try BPETrainer(.init(specialTokens: ["<a>", "<a>"])) }
        #expect(throws: MartletError.self) { try BPETrainer(.init(pattern: "(a)\\1")) }
    }

    @Test func aCharacterTokenizerHasTheSortedCharacters() throws {
        var trainer = CharacterTokenizer()
        trainer.add("hello\n")
        trainer.add("wörld 😀 e\u{301}")
        let tokenizer = try Tokenizer(json: try trainer.train())
        #expect(tokenizer.vocabularySize == trainer.count)
        let sorted = Set("hello\nwörld 😀 e\u{301}".unicodeScalars).sorted()
        for (id, scalar) in sorted.enumerated() { #expect(tokenizer.token(of: id) == String(Character(scalar))) }
        let encoding = try tokenizer.encode(
            "ölé e\u{301}\n".decomposedStringWithCanonicalMapping.replacing("o\u{308}", with: "ö"))
        #expect(tokenizer.decode(encoding.ids) == "ölé é\n")
        #expect(encoding.offsets.map { $0.count } == encoding.ids.map { _ in 1 })
        let error = #expect(throws: MartletError.self) { try tokenizer.encode("xyz") }
        #expect(error?.code == .invalidRequest)
        #expect(throws: MartletError.self) { try CharacterTokenizer().train() }
    }
}
