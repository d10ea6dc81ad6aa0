import Foundation
import MartletWire

/// A GGUF file's tokenizer in Hugging Face's files: `tokenizer.json`, `tokenizer_config.json` and the ids that end an
/// answer.
struct GGUFTokenizer {
    let tokenizer: Data
    let tokenizerConfig: JSON
    let generationConfig: JSON
    let chatTemplate: String?

    private let metadata: [String: GGUFValue]
    private let tokens: [String]
    /// Numbers as in llama.cpp: 1 normal, 2 unknown, 3 control, 4 defined by the user, 5 unused, 6 a byte.
    private let types: [Int]

    /// nil where the file has no tokenizer.
    init?(_ metadata: [String: GGUFValue]) throws {
        guard let kind = metadata["tokenizer.ggml.model"]?.string, kind != "none" else { return nil }
        guard let tokens = metadata["tokenizer.ggml.tokens"]?.strings, !tokens.isEmpty else {
            throw MartletError(.invalidData, "the GGUF file's tokenizer has no tokens")
        }
        let types = metadata["tokenizer.ggml.token_type"]?.ints ?? Array(repeating: 1, count: tokens.count)
        guard types.count == tokens.count else {
            throw MartletError(
                .invalidData, "the GGUF file's tokenizer has \(tokens.count) tokens, but types for \(types.count)")
        }
        self.metadata = metadata
        chatTemplate = metadata["tokenizer.chat_template"]?.string
        var read = GGUFTokenizer.Reading(metadata: metadata, tokens: tokens, types: types)
        read.respellSpaces()
        self.tokens = read.tokens
        self.types = read.types
        switch kind {
        case "gpt2": tokenizer = try read.byteLevel()
        case "llama": tokenizer = try read.sentencePiece()
        default:
            throw MartletError(
                .unsupportedFormat, "the GGUF tokenizer '\(kind)' is not supported; gpt2 and llama are")
        }
        var config: JSONObject = ["tokenizer_class": "PreTrainedTokenizerFast"]
        var generation: JSONObject = [:]
        for (key, name) in [("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")] {
            guard let id = try read.id(key) else { continue }
            config["\(name)_token"] = .string(tokens[id])
            if name != "unk" { generation["\(name)_token_id"] = JSON(id) }
        }
        let ends = try read.ends()
        generation["eos_token_id"] = ends.count > 1 ? .array(ends.map { JSON($0) }) : ends.first.map { JSON($0) }
        config["add_bos_token"] = .bool(try read.addsStart())
        config["add_eos_token"] = .bool(try read.addsEnd())
        tokenizerConfig = .object(config)
        generationConfig = .object(generation)
    }

    /// The metadata, turned into a tokenizer.json.
    struct Reading {
        let metadata: [String: GGUFValue]
        private(set) var tokens: [String]
        private(set) var types: [Int]

        init(metadata: [String: GGUFValue], tokens: [String], types: [Int]) {
            (self.metadata, self.tokens, self.types) = (metadata, tokens, types)
        }

        private var architecture: String { metadata["general.architecture"]?.string ?? "" }
        private var isGemma: Bool { architecture.hasPrefix("gemma") }

        /// Gemma's tokens of several spaces are pieces like others, but the conversion to GGUF writes them as text.
        mutating func respellSpaces() {
            guard isGemma else { return }
            for (id, token) in tokens.enumerated()
            where token.utf8.count > 1 && token.utf8.allSatisfy({ $0 == UInt8(ascii: " ") }) {
                tokens[id] = String(repeating: "▁", count: token.utf8.count)
                types[id] = 1
            }
        }

        func id(_ name: String) throws -> Int? {
            guard let value = metadata["tokenizer.ggml.\(name)_token_id"] else { return nil }
            guard let id = value.int, tokens.indices.contains(id) else {
                // Files without a token of this kind write the largest number.
                if value.int == Int(UInt32.max) { return nil }
                throw MartletError(.invalidData, "the GGUF file's \(name) token is none of its \(tokens.count)")
            }
            return id
        }

        /// The tokens that end an answer. It also ends where the turn does, by the usual marks, as in llama.cpp.
        func ends() throws -> [Int] {
            let named = try [id("eos"), id("eot")].compactMap { $0 }
            let usual = tokens.indices.filter {
                [3, 4].contains(types[$0]) && GGUFTokenizer.turnEnds.contains(tokens[$0])
            }
            var ends: [Int] = []
            for id in named + usual where !ends.contains(id) { ends.append(id) }
            return ends
        }

        private func preTokenizer() throws -> GGUFPreTokenizer {
            try GGUFPreTokenizer(metadata["tokenizer.ggml.pre"]?.string ?? "default")
        }

        func addsStart() throws -> Bool {
            // What llama.cpp does where the file does not say it.
            let usually = try metadata["tokenizer.ggml.model"]?.string == "llama" || preTokenizer().addsStart
            return try metadata["tokenizer.ggml.add_bos_token"]?.bool ?? usually && id("bos") != nil
        }

        func addsEnd() throws -> Bool {
            try metadata["tokenizer.ggml.add_eos_token"]?.bool ?? false && id("eos") != nil
        }

        /// As text: a tree's keys are strings, of which Unicode calls some equal that are different tokens.
        private func vocabulary() throws -> String {
            var seen = Set<[UInt8]>(minimumCapacity: tokens.count)
            var text = ""
            for (id, token) in tokens.enumerated() {
                guard seen.insert(Array(token.utf8)).inserted else {
                    throw MartletError(.invalidData, "the GGUF file's tokenizer has '\(token)' twice")
                }
                text += id == 0 ? "{" : ","
                JSON.quote(token, to: &text)
                text += ":\(id)"
            }
            return text + "}"
        }

        private var added: JSON {
            .array(
                tokens.indices.filter { [2, 3, 4].contains(types[$0]) }.map { id in
                    [
                        "id": JSON(id), "content": .string(tokens[id]), "single_word": false, "lstrip": false,
                        "rstrip": .bool(takesSpaces(id)), "normalized": false, "special": .bool(types[id] != 4),
                    ]
                })
        }

        /// Whether a token takes the spaces behind it, which no file says: of the models read here, those of Phi-3 do.
        private func takesSpaces(_ id: Int) -> Bool {
            architecture == "phi3" && metadata["tokenizer.ggml.model"]?.string == "llama"
                && !["<unk>", "<s>", "<|endoftext|>"].contains(tokens[id])
        }

        /// A start token before the text and an end token behind it, where the model wants them.
        private func postProcessor() throws -> JSON {
            let start = try addsStart() ? id("bos") : nil
            let end = try addsEnd() ? id("eos") : nil
            guard start != nil || end != nil else { return .null }
            func around(_ text: String, _ type: Int) -> [JSON] {
                func special(_ id: Int?) -> [JSON] {
                    id.map { [["SpecialToken": ["id": .string(tokens[$0]), "type_id": JSON(type)]]] } ?? []
                }
                return special(start) + [["Sequence": ["id": .string(text), "type_id": JSON(type)]]] + special(end)
            }
            var specials = JSONObject()
            for id in [start, end].compactMap({ $0 }) {
                specials[tokens[id]] = [
                    "id": .string(tokens[id]), "ids": [JSON(id)], "tokens": [.string(tokens[id])],
                ]
            }
            return [
                "type": "TemplateProcessing", "single": .array(around("A", 0)),
                "pair": .array(around("A", 0) + around("B", 1)), "special_tokens": .object(specials),
            ]
        }

        private func file(
            normalizer: JSON, preTokenizer: JSON, decoder: JSON, postProcessor: JSON, model: JSON
        ) throws -> Data {
            let parts: JSON = [
                "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": added,
                "normalizer": normalizer, "pre_tokenizer": preTokenizer, "post_processor": postProcessor,
                "decoder": decoder,
            ]
            let head = String(parts.serialized().dropLast())
            let settings = String(model.serialized().dropLast())
            let vocabulary = try vocabulary()
            return Data(#"\#(head),"model":\#(settings),"vocab":\#(vocabulary)}}"#.utf8)
        }

        /// GPT-2's kind: bytes as letters, and merges in order.
        func byteLevel() throws -> Data {
            guard let merges = metadata["tokenizer.ggml.merges"]?.strings else {
                throw MartletError(.invalidData, "the GGUF file's tokenizer has no merges")
            }
            let pre = try preTokenizer()
            return try file(
                normalizer: pre.composes ? ["type": "NFC"] : .null, preTokenizer: pre.json,
                decoder: ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true],
                postProcessor: postProcessor(),
                model: [
                    "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                    "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
                    "ignore_merges": .bool(pre.takesWholeWords),
                    "merges": .array(merges.map(JSON.string)),
                ])
        }

        /// SentencePiece's kind: pieces with scores, and bytes for what no piece has.
        func sentencePiece() throws -> Data {
            // The order of Gemma's merges is that of its tokens, which the conversion gives other scores.
            let found = isGemma ? tokens.indices.map { -Double($0) } : metadata["tokenizer.ggml.scores"]?.doubles
            guard let scores = found, scores.count == tokens.count else {
                throw MartletError(.invalidData, "the GGUF file's tokenizer has no score for each token")
            }
            let startsWithSpace = metadata["tokenizer.ggml.add_space_prefix"]?.bool ?? true
            let replace: JSON = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
            var decoders: [JSON] = [
                ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
                ["type": "Fuse"],
            ]
            if startsWithSpace { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
            let unknown = try id("unknown").map { JSON.string(tokens[$0]) } ?? .null
            return try file(
                normalizer: startsWithSpace
                    ? ["type": "Sequence", "normalizers": [["type": "Prepend", "prepend": "▁"], replace]] : replace,
                preTokenizer: .null, decoder: ["type": "Sequence", "decoders": .array(decoders)],
                postProcessor: postProcessor(),
                model: [
                    "type": "BPE", "dropout": .null, "unk_token": unknown, "continuing_subword_prefix": .null,
                    "end_of_word_suffix": .null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                    "merges": .array(merges(scores)),
                ])
        }

        /// Every way to make a piece of two others; the pieces of higher score come first, as SentencePiece joins them.
        private func merges(_ scores: [Double]) -> [JSON] {
            // By their bytes, as in the vocabulary.
            var ids: [[UInt8]: Int] = [:]
            for (id, token) in tokens.enumerated() where types[id] == 1 { ids[Array(token.utf8)] = id }
            var found: [(score: Double, id: Int, left: Int, leftCount: Int, right: Int)] = []
            for (token, id) in ids {
                let cuts = token.indices.dropFirst().filter { token[$0] & 0xC0 != 0x80 }
                guard cuts.count < 256 else { continue }
                for cut in cuts {
                    if let left = ids[Array(token[..<cut])], let right = ids[Array(token[cut...])] {
                        found.append((scores[id], id, left, cut, right))
                    }
                }
            }
            found.sort { ($1.score, $0.id, $1.leftCount) < ($0.score, $1.id, $0.leftCount) }
            return found.map { .array([.string(tokens[$0.left]), .string(tokens[$0.right])]) }
        }
    }

    /// What ends a turn in the models that are read here.
    private static let turnEnds: Set<String> = [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>",
    ]
}
