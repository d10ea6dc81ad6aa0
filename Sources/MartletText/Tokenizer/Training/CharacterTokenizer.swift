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

    /// The tokenizer.json. A character that was not in the text cannot be encoded. Throws `invalidData` for no text.
    public func train() throws -> Data {
        guard !seen.isEmpty else {
            throw MartletError(.invalidData, "the text has no characters to make a vocabulary of; give it some text")
        }
        let vocabulary = seen.sorted().enumerated().map { id, code in
            var text = ""
            JSON.quote(String(Unicode.Scalar(code).map { Character($0) } ?? " "), to: &text)
            return "\(text):\(id)"
        }.joined(separator: ",")
        return Data(
            (#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":"#
                + #"{"type":"Split","pattern":{"Regex":"[\\s\\S]"},"behavior":"Isolated","invert":false},"#
                + #""post_processor":null,"decoder":{"type":"Fuse"},"model":{"type":"WordLevel","unk_token":"<unk>","vocab":{"#
                + vocabulary + "}}}").utf8)
    }
}
