import Foundation
import MartletText
import MartletWire

/// The tokenizers and results that `scripts/golden/make_tokenizers.py` writes.
struct TokenizerGolden {
    let folder: URL
    let json: JSON
    let seed: UInt64
    let count: Int
    let chunk: Int

    init() throws {
        guard let resources = Bundle.module.resourceURL else { throw Missing() }
        folder = resources.appending(path: "Golden/Tokenizers")
        json = try JSONParser.parse(try Data(contentsOf: folder.appending(path: "golden.json")), limits: .trusted)
        guard let seed = json["seed"]?.int, let count = json["count"]?.int, let chunk = json["chunk"]?.int else {
            throw Missing()
        }
        self.seed = UInt64(seed)
        self.count = count
        self.chunk = chunk
    }

    struct Missing: Error {}

    static let kinds = [
        "gpt2", "llama3", "qwen", "deepseek", "roberta", "clip", "llama2", "mistral", "gemma", "bert", "t5", "albert",
        "unigram-bytes", "word-level",
    ]

    func text(_ index: Int) -> String { RandomText.string(seed: seed, (index + count) % count) }

    func file(_ kind: String) throws -> Data { try Data(contentsOf: folder.appending(path: "\(kind).json")) }

    func tokenizer(_ kind: String) throws -> Tokenizer { try Tokenizer(json: try file(kind)) }

    /// The `gpt2` tokenizer with some of its parts replaced.
    func variant(_ changes: JSON?) throws -> Tokenizer {
        guard var whole = try JSONParser.parse(try file("gpt2"), limits: .trusted).object, let changes = changes?.object
        else { throw Missing() }
        for (key, value) in changes { whole[key] = value }
        return try Tokenizer(json: JSON.object(whole).data)
    }

    /// The hash of a chunk's identifiers and offsets, as the script makes it.
    func digest(_ tokenizer: Tokenizer, chunk number: Int) throws -> String {
        var numbers: [Int32] = []
        for index in number * chunk..<(number + 1) * chunk {
            let encoding = try tokenizer.encode(text(index))
            // Without places a text goes another way.
            guard try tokenizer.ids(of: text(index)) == encoding.ids else { return "string \(index) without places" }
            numbers.append(Int32(encoding.count))
            numbers += encoding.ids.map { Int32($0) }
            numbers += encoding.offsets.flatMap { [Int32($0.lowerBound), Int32($0.upperBound)] }
        }
        return String(numbers.withUnsafeBytes { ContentHash.of([UInt8]($0)) }.prefix(16))
    }

    /// How many strings are checked: 5,000 in ordinary runs, all in long ones.
    var chunksToCheck: Int {
        ProcessInfo.processInfo.environment["MARTLET_TEST_LONG"] == "1" ? count / chunk : 5000 / chunk
    }
}

extension JSON {
    var integers: [Int] { (array ?? []).compactMap { $0.int } }
}
