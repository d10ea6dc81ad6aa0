import Foundation
import MartletWire

/// Makes a new byte-level BPE vocabulary from text (Sennrich et al., 2016), the same as Hugging Face's `BpeTrainer`.
///
/// Text is given in parts, each of which is cut by itself, so memory holds the different words and not the text.
/// The same parts in the same order give the same vocabulary.
public struct BPETrainer: Sendable {
    /// What words are, and how large the vocabulary becomes.
    public struct Config: Codable, Sendable {
        /// Tokens altogether, with the 256 bytes and the special tokens.
        public var vocabularySize: Int
        /// Special tokens, which get the first identifiers.
        public var specialTokens: [String]
        /// Pairs that occur less often are not joined.
        public var minimumCount: Int
        /// The pattern whose matches are the words; GPT-2's where it is nil.
        public var pattern: String?

        public init(
            vocabularySize: Int = 8192, specialTokens: [String] = ["<|endoftext|>"], minimumCount: Int = 2,
            pattern: String? = nil
        ) {
            self.vocabularySize = vocabularySize
            self.specialTokens = specialTokens
            self.minimumCount = minimumCount
            self.pattern = pattern
        }
    }

    private let config: Config
    private let program: RegexProgram
    private var words = ByteTable(minimumCapacity: 1 << 16)
    private var counts: [Int] = []

    public static let vocabularyLimit = 1 << 22

    /// Throws `invalidRecipe` for sizes that cannot be and `unsupportedFormat` for a pattern that is not read.
    public init(_ config: Config) throws {
        let least = 256 + config.specialTokens.count
        guard config.vocabularySize >= least, config.vocabularySize <= Self.vocabularyLimit else {
            throw MartletError(
                .invalidRecipe,
                "a vocabulary of \(config.vocabularySize) tokens cannot be trained; choose from \(least) to "
                    + "\(Self.vocabularyLimit)", param: "vocabulary_size")
        }
        guard Set(config.specialTokens.map { Array($0.utf8) }).count == config.specialTokens.count,
            config.specialTokens.allSatisfy({ !$0.isEmpty && $0.utf8.count > 1 })
        else {
            throw MartletError(
                .invalidRecipe, "special tokens must differ and have at least two bytes each", param: "special_tokens")
        }
        self.config = config
        program = try RegexProgram(config.pattern ?? PreTokenizer.gpt2)
    }

    /// Different words so far.
    public var wordCount: Int { words.count }

    /// Counts the words of a part of the text.
    public mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { bytes in
            guard let base = bytes.baseAddress else { return }
            var last = 0
            RegexMatcher.forEachMatch(of: program, in: base, from: 0, to: bytes.count) { start, end in
                count(UnsafeBufferPointer(start: base + last, count: start - last))
                count(UnsafeBufferPointer(start: base + start, count: end - start))
                last = end
            }
            count(UnsafeBufferPointer(start: base + last, count: bytes.count - last))
        }
    }

    private mutating func count(_ word: UnsafeBufferPointer<UInt8>) {
        guard !word.isEmpty else { return }
        let known = words.value(word)
        if known >= 0 {
            counts[Int(known)] += 1
        } else {
            words.set(word, Int32(counts.count))
            counts.append(1)
        }
    }

    /// Trains on what has been added and gives the tokenizer.json.
    ///
    /// The vocabulary is smaller than asked where no pair is left that occurs often enough.
    public func train() -> Data {
        var tokens = config.specialTokens.map { Array($0.utf8) }
        var table = ByteTable(minimumCapacity: config.vocabularySize)
        for (id, token) in tokens.enumerated() { table.set(token, Int32(id)) }
        // The alphabet in the order of its characters.
        var byteIds = [Int32](repeating: 0, count: 256)
        for byte in (0..<256).sorted(by: { ByteAlphabet.scalars[$0] < ByteAlphabet.scalars[$1] }) {
            byteIds[byte] = Int32(tokens.count)
            tokens.append(ByteAlphabet.text(of: UInt8(byte)))
            table.set(tokens[tokens.count - 1], byteIds[byte])
        }
        var pairs = PairCounter()
        for word in 0..<counts.count {
            pairs.add(words.entry(word).key.map { byteIds[Int($0)] }, count: counts[word])
        }
        var merges: [(Int32, Int32)] = []
        while tokens.count < config.vocabularySize, let best = pairs.takeMostFrequent(),
            best.count >= max(1, config.minimumCount)
        {
            let joined = tokens[Int(best.left)] + tokens[Int(best.right)]
            var id = table.value(joined)
            if id < 0 {
                id = Int32(tokens.count)
                tokens.append(joined)
                table.set(joined, id)
            }
            merges.append((best.left, best.right))
            pairs.join(best.left, best.right, into: id)
        }
        return json(tokens, merges)
    }

    private func json(_ tokens: [[UInt8]], _ merges: [(Int32, Int32)]) -> Data {
        func quoted(_ id: Int) -> String {
            var out = ""
            JSON.quote(String(decoding: tokens[id], as: UTF8.self), to: &out)
            return out
        }
        let specials: [JSON] = config.specialTokens.enumerated().map { id, token in
            [
                "id": JSON(id), "content": .string(token), "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            ]
        }
        let bytes: JSON = [
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": .bool(config.pattern == nil),
        ]
        let cut: JSON =
            config.pattern.map {
                [
                    "type": "Sequence",
                    "pretokenizers": [
                        ["type": "Split", "pattern": ["Regex": .string($0)], "behavior": "Isolated", "invert": false],
                        bytes,
                    ],
                ]
            } ?? bytes
        let vocabulary = tokens.indices.map { "\(quoted($0)):\($0)" }.joined(separator: ",")
        let list = merges.map { "[\(quoted(Int($0.0))),\(quoted(Int($0.1)))]" }.joined(separator: ",")
        return Data(
            (#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":"# + JSON.array(specials).serialized()
                + #","normalizer":null,"pre_tokenizer":"# + cut.serialized() + #","post_processor":null,"decoder":"#
                + bytes.serialized()
                + #","model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"#
                + #""end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{"#
                + vocabulary + #"},"merges":["# + list + "]}}").utf8)
    }
}
