import Foundation
import MartletText
import MartletWire
import Testing

@Suite struct TokenizerErrorTests {
    private static func whole(
        model: String = #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}"#, parts: String = ""
    ) -> [UInt8] { Array("{\"version\":\"1.0\"\(parts),\"model\":\(model)}".utf8) }

    @Test(arguments: [
        (#","normalizer":{"type":"Rot13"}"#, "normalizer 'Rot13'"),
        (#","normalizer":{"type":"Sequence","normalizers":[{"type":"Rot14"}]}"#, "normalizer 'Rot14'"),
        (#","pre_tokenizer":{"type":"Guess"}"#, "pre-tokenizer 'Guess'"),
        (
            #","pre_tokenizer":{"type":"Split","pattern":{"Regex":"a"},"behavior":"Shuffled","invert":false}"#,
            "'Shuffled'"
        ),
        (#","pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?=ab)"},"behavior":"Isolated"}"#, "look-around"),
        (#","pre_tokenizer":{"type":"Metaspace","prepend_scheme":"last"}"#, "'last'"),
        (#","post_processor":{"type":"Poster"}"#, "post-processor 'Poster'"),
        (#","decoder":{"type":"Enigma"}"#, "decoder 'Enigma'"), (#","decoder":{}"#, "decoder without a type"),
    ]) func anUnknownPartIsRefusedByName(_ part: String, _ name: String) {
        let error = #expect(throws: MartletError.self) { try Tokenizer(json: Self.whole(parts: part)) }
        #expect(error?.code == .unsupportedFormat)
        #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: ["-1", "1.5", "99999999999", "\"0\"", "65536"])
    func aTypeThatNoTokenCanHaveIsRefused(_ type: String) {
        for part in [
            #"{"Sequence":{"id":"A","type_id":\#(type)}}"#, #"{"SpecialToken":{"id":"a","type_id":\#(type)}}"#,
        ] {
            let template =
                #","post_processor":{"type":"TemplateProcessing","single":[\#(part)],"pair":[],"#
                + #""special_tokens":{"a":{"id":"a","ids":[0],"tokens":["a"]}}}"#
            let error = #expect(throws: MartletError.self) { try Tokenizer(json: Self.whole(parts: template)) }
            #expect(error?.message.contains("type_id") == true, "\(error?.message ?? "")")
        }
    }

    /// A few hundred bytes that would make 10⁴⁰ of each letter.
    @Test func partsThatWouldFillAllMemoryAreRefused() throws {
        func sequence(_ name: String, _ part: String, _ count: Int) -> String {
            #"{"type":"Sequence","\#(name)":[\#([String](repeating: part, count: count).joined(separator: ","))]}"#
        }
        let many = String(repeating: "a", count: 100)
        let replace = #"{"type":"Replace","pattern":{"String":"a"},"content":"\#(many)"}"#
        let prepend = #"{"type":"Prepend","prepend":"\#(many)"}"#
        for normalizer in [sequence("normalizers", replace, 20), sequence("normalizers", prepend, 20)] {
            let parts = #","normalizer":\#(normalizer)"#
            let tokenizer = try Tokenizer(json: Self.whole(parts: parts))
            #expect(try tokenizer.encode("").ids == [])
            let error = #expect(throws: MartletError.self) { try tokenizer.encode("aaa") }
            #expect(error?.code == .invalidData && error?.message.contains("normalizer") == true)
            // An added token is normalized when the file is read.
            let added = #","added_tokens":[{"id":3,"content":"aa","normalized":true}]"#
            #expect(throws: MartletError.self) { try Tokenizer(json: Self.whole(parts: parts + added)) }
        }
        let text = #"{"Sequence":{"id":"A","type_id":0}}"#
        let template = [String](repeating: text, count: 100).joined(separator: ",")
        for (part, name) in [
            (
                #","pre_tokenizer":"# + sequence("pretokenizers", #"{"type":"ByteLevel","use_regex":false}"#, 40),
                "ByteLevel"
            ),
            (#","decoder":"# + sequence("decoders", replace, 20), "decoder"),
            (#","post_processor":{"type":"TemplateProcessing","single":[\#(template)],"pair":[]}"#, "100 parts"),
        ] {
            let error = #expect(throws: MartletError.self) { try Tokenizer(json: Self.whole(parts: part)) }
            #expect(
                error?.code == .unsupportedFormat && error?.message.contains(name) == true, "\(error?.message ?? "")")
        }
    }

    @Test func anAddedTokenThatWouldBeLookedForTooLongIsRefused() throws {
        func read(_ count: Int) throws -> Tokenizer {
            let content = String(repeating: "a", count: count)
            return try Tokenizer(json: Self.whole(parts: #","added_tokens":[{"id":3,"content":"\#(content)"}]"#))
        }
        #expect(try read(1024).encode(String(repeating: "a", count: 1024)).ids == [3])
        let error = #expect(throws: MartletError.self) { try read(1025) }
        #expect(error?.message.contains("1025 bytes") == true, "\(error?.message ?? "")")
    }

    /// 50,000 added tokens that the model lacks: each gets the number after the last.
    @Test func manyAddedTokensAreReadInTime() throws {
        let tokens = (0..<50_000).map { #"{"id":\#($0 + 3),"content":"<\#($0)>","special":true}"# }
        let list = tokens.joined(separator: ",")
        let (tokenizer, time) = try computed { try Tokenizer(json: Self.whole(parts: ",\"added_tokens\":[\(list)]")) }
        #expect(tokenizer.id(of: "<49999>") == 50_002)
        #expect(time < .seconds(20))
    }

    @Test(arguments: [
        (#"{"type":"Markov","vocab":{}}"#, "'Markov'"),
        (#"{"type":"BPE","dropout":0.1,"vocab":{"a":0},"merges":[]}"#, "dropout"),
        (#"{"type":"BPE","vocab":{"a":0},"merges":[["a","b"]]}"#, "merge 0"),
        (#"{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}"#, "'a b'"),
        (#"{"type":"BPE","vocab":{"a":-1},"merges":[]}"#, "'a'"),
        (#"{"type":"BPE","vocab":{"a":1.5},"merges":[]}"#, "'a'"),
        (#"{"type":"BPE","vocab":{"a":99999999999},"merges":[]}"#, "'a'"),
        (#"{"type":"BPE","vocab":{"a":2000000000},"merges":[]}"#, "'a'"),
        (#"{"type":"BPE","vocab":{"a":0}}"#, "merges"),
        (#"{"type":"BPE","unk_token":"?","vocab":{"a":0},"merges":[]}"#, "'?'"),
        (#"{"type":"Unigram","vocab":[["a",0],["b"]]}"#, "token 1"),
        (#"{"type":"WordPiece","max_input_chars_per_word":100000,"vocab":{"[UNK]":0}}"#, "max_input_chars_per_word"),
        (#"{"type":"Unigram","unk_id":7,"vocab":[["a",0]]}"#, "7"), (#"{"type":"WordPiece"}"#, "vocabulary"),
        ("7", "model"),
    ]) func aModelThatCannotBeIsRefused(_ model: String, _ name: String) {
        let error = #expect(throws: MartletError.self) { try Tokenizer(json: Self.whole(model: model)) }
        #expect(error?.message.contains(name) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{\"a\":}", "{\"a\":1,}", "{\"model\":{}}x", "{\"a\":\"\\ud800\"}", "{\"a\" 1}",
        "{\"a\":[1 2]}",
        String(repeating: "[", count: 100_000), "{\"version\":\"2.0\"}", "{\"a\":\"\u{1}\"}", "{\"a\":tru}",
    ]) func whatIsNoTokenizerFileIsRefused(_ text: String) {
        #expect(throws: MartletError.self) { try Tokenizer(json: Array(text.utf8)) }
    }

    @Test func everyTruncationOfAFileIsRefused() throws {
        let whole = [UInt8](try TokenizerGolden().file("word-level"))
        for count in stride(from: 0, to: whole.count - 1, by: 97) {
            #expect(throws: MartletError.self) { try Tokenizer(json: Array(whole[..<count])) }
        }
    }

    @Test func keysThatDifferOnlyInNormalizationAreTwoTokens() throws {
        let tokenizer = try Tokenizer(
            json: Self.whole(model: #"{"type":"WordLevel","vocab":{"\u00e9":0,"e\u0301":1},"unk_token":"?"}"#))
        #expect(try tokenizer.encode("\u{E9}").ids == [0])
        #expect(try tokenizer.encode("e\u{301}").ids == [1])
        #expect(tokenizer.id(of: "e\u{301}") == 1)
    }

    @Test func escapesInTokensAreUndone() throws {
        let tokenizer = try Tokenizer(
            json: Self.whole(model: #"{"type":"WordLevel","vocab":{"\ud83d\ude31":0,"\n\t\"\\\/":1}}"#))
        #expect(tokenizer.token(of: 0) == "😱")
        #expect(tokenizer.token(of: 1) == "\n\t\"\\/")
        #expect(tokenizer.token(of: 2) == nil)
        #expect(tokenizer.token(of: -1) == nil)
    }

    @Test func textThatIsNotUTF8IsRefused() throws {
        let tokenizer = try TokenizerGolden().tokenizer("gpt2")
        #expect(throws: MartletError.self) { try tokenizer.encode(utf8: [0x61, 0xFF]) }
        #expect(try tokenizer.encode(utf8: Array("a😱".utf8)) == tokenizer.encode("a😱"))
        #expect(try tokenizer.encode("").ids == [])
    }

    @Test func identifiersOutsideTheVocabularyDecodeToNothing() throws {
        let tokenizer = try TokenizerGolden().tokenizer("gpt2")
        #expect(tokenizer.decode([-1, 1 << 40, tokenizer.vocabularySize]) == "")
    }

    @Test func theConfigurationNamesSpecialTokens() throws {
        let file = try TokenizerGolden().file("llama3")
        let config = Array(#"{"bos_token":{"content":"<s>","special":true},"eos_token":"</s>","pad_token":null}"#.utf8)
        let tokenizer = try Tokenizer(json: file, config: config)
        #expect(tokenizer.beginToken == tokenizer.id(of: "<s>"))
        #expect(tokenizer.endToken == tokenizer.id(of: "</s>"))
        #expect(tokenizer.padToken == nil)
        #expect(tokenizer.vocabulary.endTokens == [try #require(tokenizer.endToken)])
        #expect(tokenizer.contentHash == ContentHash.of(file))
    }

    @Test func manyTasksMayEncodeAtOnce() async throws {
        let golden = try TokenizerGolden()
        let tokenizer = try golden.tokenizer("llama3")
        let expected = try (0..<200).map { try tokenizer.encode(golden.text($0)) }
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for task in 0..<16 {
                group.addTask {
                    try (0..<200).allSatisfy { index in
                        let number = (index + task * 13) % 200
                        return try tokenizer.encode(golden.text(number)) == expected[number]
                    }
                }
            }
            for try await isSame in group { #expect(isSame) }
        }
    }
}
