import Foundation
import MartletText
import MartletWire
import Testing

@Suite struct TokenizerGoldenTests {
    @Test(arguments: TokenizerGolden.kinds)
    func randomTextsGiveTheIdentifiersAndOffsetsOfTokenizers(_ kind: String) throws {
        let golden = try TokenizerGolden()
        let tokenizer = try golden.tokenizer(kind)
        let digests = try #require(golden.json["kinds"]?[kind]?["digests"]?.array)
        #expect(digests.count == golden.count / golden.chunk)
        for number in 0..<golden.chunksToCheck {
            let digest = try golden.digest(tokenizer, chunk: number)
            #expect(digest == digests[number].string, "strings \(number * golden.chunk) and on")
        }
    }

    @Test(arguments: TokenizerGolden.kinds)
    func samplesGiveTheSameTokensPairsAndTexts(_ kind: String) throws {
        let golden = try TokenizerGolden()
        let tokenizer = try golden.tokenizer(kind)
        let samples = try #require(golden.json["kinds"]?[kind]?["samples"]?.array)
        #expect(samples.count == 40)
        for sample in samples {
            let index = try #require(sample["index"]?.int)
            let encoding = try tokenizer.encode(golden.text(index))
            #expect(encoding.ids == sample["ids"]?.integers)
            #expect(encoding.offsets.flatMap { [$0.lowerBound, $0.upperBound] } == sample["offsets"]?.integers)
            let pair = try tokenizer.encode(golden.text(index), pair: golden.text(index - 1))
            #expect(pair.ids == sample["pair"]?.integers)
            #expect(pair.typeIds == sample["types"]?.integers)
            let decoded = tokenizer.decode(encoding.ids)
            #expect(
                decoded.unicodeScalars.elementsEqual(sample["decoded"]?.string?.unicodeScalars ?? "".unicodeScalars))
            let whole = tokenizer.decode(encoding.ids, skipSpecialTokens: false)
            #expect(whole.unicodeScalars.elementsEqual(sample["whole"]?.string?.unicodeScalars ?? "".unicodeScalars))
        }
    }

    /// One part at a time: every normalizer, pre-tokenizer and pattern.
    @Test func everyPartCutsAsTokenizersDoes() throws {
        let golden = try TokenizerGolden()
        let variants = try #require(golden.json["variants"]?.object)
        #expect(variants.count >= 35)
        for (name, variant) in variants {
            let tokenizer = try golden.variant(variant["changes"])
            let digests = try #require(variant["digests"]?.array)
            for number in 0..<min(golden.chunksToCheck / 2, digests.count) {
                let digest = try golden.digest(tokenizer, chunk: number)
                #expect(digest == digests[number].string, "\(name), strings \(number * golden.chunk) and on")
            }
        }
    }
}
