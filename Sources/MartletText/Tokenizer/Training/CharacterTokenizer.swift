import Foundation
import MartletWire

/// Makes a vocabulary of single characters, as nanoGPT does: every Unicode scalar of a text, in order.
public struct CharacterTokenizer: Sendable {
    private var seen: Set<UInt32> = []

    public init() {}

    /// Notes the characters of a part of the text.
    public mutating func add(_ text: String) {
        for scalar in text.unicodeScalars { seen.insert(scalar.value) }
    }

    /// How many characters there are so far.
    public var count: Int { seen.count }

    /// The tokenizer.json, with special tokens after the characters. A character that was not in the text cannot be
    /// encoded. Throws `invalidData` for no text.
    public func train(specialTokens: [String] = []) throws -> Data {
        guard !seen.isEmpty else {
            throw MartletError(.invalidData, "the text has no characters to make a vocabulary of; give it some text")
        }
        func quoted(_ text: String) -> String {
            var json = ""
            JSON.quote(text, to: &json)
            return json
        }
        let characters = seen.sorted().compactMap(Unicode.Scalar.init).map { String(Character($0)) }
        let vocabulary = (characters + specialTokens).enumerated().map { "\(quoted($1)):\($0)" }
        let added = specialTokens.enumerated().map { index, token in
            "{\"id\":\(characters.count + index),\"content\":\(quoted(token)),\"single_word\":false,\"lstrip\":false,"
                + "\"rstrip\":false,\"normalized\":false,\"special\":true}"
        }
        return Data(
            (#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["# + added.joined(separator: ",")
                + #"],"normalizer":null,"pre_tokenizer":"#
                + #"{"type":"Split","pattern":{"Regex":"[\\s\\S]"},"behavior":"Isolated","invert":false},"#
                + #""post_processor":null,"decoder":{"type":"Fuse"},"model":{"type":"WordLevel","unk_token":"<unk>","vocab":{"#
                + vocabulary.joined(separator: ",") + "}}}").utf8)
    }
}
