import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletText
import MartletWire
import Testing

/// GGUF files give the model that transformers reads from them; hostile ones are refused.
@Suite struct GGUFTests {
    private static func golden(_ name: String) throws -> URL {
        let root = try #require(Bundle.module.url(forResource: "Golden", withExtension: nil))
        return root.appending(path: "gguf").appending(path: name)
    }

    /// The bundle of a golden file, and what its import said.
    private static func imported(
        _ name: String, _ body: @escaping @Sendable (ImportReport, URL) throws -> Void
    ) throws {
        try onCompute {
            try withScratch { scratch in
                let target = scratch.appending(path: "bundle")
                try body(ModelImport.run(from: golden("\(name).gguf"), to: target), target)
            }
        }
    }

    /// What transformers read from it.
    private static func expected(_ name: String) throws -> SafeTensors {
        try SafeTensors(path: golden("\(name).safetensors").path)
    }

    /// Names in the file and in the folder, where rows stay in order.
    private static let names = [
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
        "blk.0.attn_k.weight": "model.layers.0.self_attn.k_proj.weight",
        "blk.0.attn_v.weight": "model.layers.0.self_attn.v_proj.weight",
        "blk.0.attn_output.weight": "model.layers.0.self_attn.o_proj.weight",
        "blk.0.ffn_gate.weight": "model.layers.0.mlp.gate_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.up_proj.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight", "output.weight": "lm_head.weight",
    ]

    @Test(arguments: ["llama", "qwen2"]) func `weights, logits and names are those that transformers reads`(
        _ name: String
    ) throws {
        try Self.imported(name) { report, target in
            #expect(report.hasTokenizer)
            #expect(report.findings.contains { $0.contains("float16") })
            let expected = try Self.expected(name)
            let saved = try WeightFiles(folder: target)
            for (theirs, ours) in Self.names where expected.entry("rows/\(theirs)") != nil {
                let rows = try expected.tensor("rows/\(theirs)")
                let found = try saved.tensor(ours).narrow(0, from: 0, length: 2)
                // Blocks give float32; the folder has them as float16.
                #expect(try found.equals(rows.to(found.scalarType)), "\(name): \(theirs)")
            }
            let model = try LanguageBundle.load(target).model
            let count = model.geometry.vocabularyCount
            let logits = try model.logits(of: LanguageGolden.prompt(40, vocabulary: count), rows: 3)
            let wanted = try expected.tensor("logits")
            let worst = try difference(logits, wanted)
            let scale = try wanted.abs().max().item()
            #expect(worst < 2e-3 * scale, "\(name): \(worst) of \(scale)")
        }
    }

    /// What `scripts/golden/make_gguf.py` asked transformers' tokenizers.
    private static let texts = ["the hen in ten  then   an\n\nhen", " the  é", "then<end>the", ""]

    @Test(arguments: ["gemma2", "gemma3", "phi3"]) func `files of Gemma and Phi give the models that they were made of`(
        _ name: String
    ) throws {
        try Self.imported(name) { report, target in
            #expect(report.task == "generate" && report.hasTokenizer)
            let expected = try Self.expected(name)
            let model = try LanguageBundle.load(target).model
            let tokens = LanguageGolden.prompt(40, vocabulary: model.geometry.vocabularyCount)
            #expect(try difference(model.logits(of: tokens, rows: 3), expected.tensor("logits")) <= 1e-4)
            let tokenizer = try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
            for (index, text) in Self.texts.enumerated() {
                let ids = try expected.tensor("ids/\(index)").array(of: Int.self)
                #expect(try tokenizer.encode(text, addSpecialTokens: true).ids == ids, "\(text)")
            }
        }
    }

    /// Neither stands in the file: which tokens end a turn, and that those of Phi-3 take the spaces behind them.
    @Test func `an answer ends where the turn does, and marks are those of the model's own folder`() throws {
        try Self.imported("gemma2") { _, gemma in
            let tokenizer = try Tokenizer(json: Data(contentsOf: gemma.appending(path: "tokenizer.json")))
            let end = try #require(tokenizer.id(of: "<end_of_turn>"))
            #expect(try ModelFolder(gemma).endTokens == [1, end])
        }
        try Self.imported("phi3") { _, phi in
            let tokenizer = try Tokenizer(json: Data(contentsOf: phi.appending(path: "tokenizer.json")))
            let ids = { (text: String) in try tokenizer.encode(text, addSpecialTokens: false).ids }
            #expect(try ids("</s>\n the") == ids("</s>the"))
            #expect(try ids("<s>\n the") != ids("<s>the"))
        }
    }

    @Test func `the tokenizer becomes a tokenizer json`() throws {
        try Self.imported("llama") { _, target in
            let json = try JSONParser.parse(Data(contentsOf: target.appending(path: "tokenizer.json")))
            #expect(json["model"]?["byte_fallback"] == true)
            let merges = try #require(json["model"]?["merges"]?.array)
            #expect(merges.first == ["▁", "t"])
            #expect(merges.contains(["▁t", "he"]))
            let folder = try ModelFolder(target)
            #expect(folder.chatTemplate?.contains("messages") == true)
            #expect(folder.generationConfig?["eos_token_id"] == 2)
            #expect(folder.tokenizerConfig?["bos_token"] == "<s>")
        }
    }

    /// The golden file of qwen2's kind with other metadata: names are exchanged, and tokens that nothing uses are cut
    /// by as much as that adds.
    private func renamed(_ changes: [(old: String, new: String)]) throws -> Data {
        var bytes = [UInt8](try Data(contentsOf: Self.golden("qwen2.gguf")))
        func string(_ text: String) -> [UInt8] { [UInt8(text.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(text.utf8) }
        var added = 0
        for (old, new) in changes {
            // A key's value: its type, 8, stands before it.
            let (old, new) = (Self.bytes(old, string), Self.bytes(new, string))
            let place = try #require(bytes.firstRange(of: old))
            bytes.replaceSubrange(place, with: new)
            added += new.count - old.count
        }
        for number in 10..<20 where added > 0 {
            let token = "<extra\(number)>"
            let cut = min(added, 6)
            let place = try #require(bytes.firstRange(of: string(token)))
            bytes.replaceSubrange(place, with: string(String(token.dropFirst(cut))))
            added -= cut
        }
        return Data(bytes)
    }

    /// `key=value` with a string's type between, or a key alone.
    private static func bytes(_ text: String, _ string: (String) -> [UInt8]) -> [UInt8] {
        let parts = text.split(separator: "=", maxSplits: 1).map { string(String($0)) }
        return parts.count == 2 ? parts[0] + [8, 0, 0, 0] + parts[1] : parts[0]
    }

    private func tokenizer(_ changes: [(old: String, new: String)]) throws -> Tokenizer {
        try withScratch { scratch in
            let (file, target) = (scratch.appending(path: "renamed.gguf"), scratch.appending(path: "bundle"))
            try renamed(changes).write(to: file)
            _ = try onCompute { try ModelImport.run(from: file, to: target) }
            return try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
        }
    }

    @Test func `names of pre-tokenizers`() throws {
        func named(_ name: String) -> (old: String, new: String) {
            ("tokenizer.ggml.pre=qwen2", "tokenizer.ggml.pre=\(name)")
        }
        func tokens(_ text: String, _ tokenizer: Tokenizer) throws -> [String?] {
            try tokenizer.encode(text, addSpecialTokens: true).ids.map { tokenizer.token(of: $0) }
        }
        for name in ["qwen2", "deepseek-r1-qwen", "smollm"] {
            #expect(try tokens("the 123", tokenizer([named(name)])) == ["the", "Ġ", "1", "2", "3"], "\(name)")
        }
        #expect(try tokens("123", tokenizer([named("gpt-2")])) == ["123"])
        // As long as before: what follows stays in its place.
        let same = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eos_token_idx")
        for changes in [[named("gpt-4o")], [named("dbrx"), same]] {
            #expect(try tokens("the 123", tokenizer(changes)) == ["the", "Ġ", "123"], "\(changes)")
        }
        // Where the file does not say whether a start token stands before a text, Llama 3's does as in llama.cpp.
        let silent = [
            ("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_bos_tokem"),
            ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.bos_token_id"),
        ]
        #expect(try tokens("the", tokenizer(silent + [named("llama-bpe")])) == ["<|im_end|>", "the"])
        #expect(try tokens("the", tokenizer(silent)) == ["the"])
        #expect(try tokens("the", tokenizer([silent[1], named("llama-bpe")])) == ["the"])
        #expect {
            _ = try tokenizer([named("falcon")])
        } throws: { error in
            (error as? MartletError)?.message.contains("'falcon' is not supported; supported are gpt-2") == true
        }
    }

    /// Each name stands for a model's way to split texts; `tokenizers` made the hashes with that model's own.
    @Test func `texts are split as by the models that the pre-tokenizers are named for`() throws {
        let golden = try JSONParser.parse(Data(contentsOf: Self.golden("splits.json")), limits: .trusted)
        let texts = try #require(golden["texts"]?.array).compactMap(\.string)
        let chunk = try #require(golden["chunk"]?.int)
        let hashes = try #require(golden["hashes"]?.object)
        #expect(texts.count == 1000 && hashes.count == 10)
        for (name, rows) in hashes {
            let tokenizer = try split(by: name)
            for (index, row) in try #require(rows.array).enumerated() {
                var numbers: [Int32] = []
                for text in texts[index * chunk..<(index + 1) * chunk] {
                    let ids = try tokenizer.encode(text, addSpecialTokens: false).ids
                    numbers += [Int32(ids.count)] + ids.map { Int32($0) }
                }
                let hash = numbers.withUnsafeBytes { ContentHash.of([UInt8]($0)) }.prefix(16)
                #expect(row.string == String(hash), "\(name), texts from \(index * chunk) on")
            }
        }
    }

    /// The tokenizer of splits.gguf with another name of its pre-tokenizer; a description that nobody reads takes or
    /// gives the bytes between.
    private func split(by name: String) throws -> Tokenizer {
        var bytes = [UInt8](try Data(contentsOf: Self.golden("splits.gguf")))
        func string(_ text: String) -> [UInt8] { [UInt8(text.utf8.count), 0, 0, 0, 0, 0, 0, 0] + Array(text.utf8) }
        let text = String(repeating: "x", count: 64)
        let cut = String(repeating: "x", count: 64 + "qwen2".utf8.count - name.utf8.count)
        for (old, new) in [("tokenizer.ggml.pre=qwen2", "tokenizer.ggml.pre=\(name)"), (text, cut)] {
            let place = try #require(bytes.firstRange(of: Self.bytes(old, string)))
            bytes.replaceSubrange(place, with: Self.bytes(new, string))
        }
        return try withScratch { scratch in
            let (file, target) = (scratch.appending(path: "split.gguf"), scratch.appending(path: "bundle"))
            try Data(bytes).write(to: file)
            _ = try onCompute { try ModelImport.run(from: file, to: target) }
            return try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
        }
    }

    /// As in the files of Qwen3-Embedding: an end token behind each text, and vectors of the last state.
    @Test func `files of embedding models say how texts end and how vectors are made`() throws {
        let changes = [
            ("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"),
            // As long as before: what follows stays in its place.
            ("qwen2.attention.value_length", "qwen2.pooling_type"), ("<extra14>", "<extra14>0123456789"),
        ]
        func file(pooling: UInt8, adding: UInt8) throws -> Data {
            var bytes = [UInt8](try renamed(changes))
            for (key, value) in [("tokenizer.ggml.add_eos_token", adding), ("qwen2.pooling_type", pooling)] {
                // Behind the key stands a type of four bytes.
                bytes[try #require(bytes.firstRange(of: Array(key.utf8))).upperBound + 4] = value
            }
            return Data(bytes)
        }
        try withScratch { scratch in
            let (source, target) = (scratch.appending(path: "embedding.gguf"), scratch.appending(path: "bundle"))
            for (way, pooling) in [TextEncoder.Pooling.mean, .first, .last].enumerated() {
                try file(pooling: UInt8(way + 1), adding: 1).write(to: source)
                let made = try onCompute {
                    _ = try ModelImport.run(from: source, to: target)
                    return try LanguageBundle.load(target).pooling
                }
                #expect(try made.get() == pooling)
                let tokenizer = try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
                let ids = try tokenizer.encode("the", addSpecialTokens: true).ids
                #expect(ids.map { tokenizer.token(of: $0) } == ["the", "<|im_end|>"])
                try FileManager.default.removeItem(at: target)
            }
            try file(pooling: 4, adding: 0).write(to: source)
            #expect {
                _ = try onCompute { try ModelImport.run(from: source, to: target) }
            } throws: { error in
                (error as? MartletError)?.message.contains("'qwen2.pooling_type' (4)") == true
            }
        }
    }

    /// The sign for ohm and the letter omega stand in place of two tokens of the golden file.
    @Test func `tokens that Unicode calls equal are tokens of their own`() throws {
        var bytes = [UInt8](try Data(contentsOf: Self.golden("llama.gguf")))
        for (old, new) in [("ten", "\u{2126}"), ("en", "\u{3A9}")] {
            let length: [UInt8] = [UInt8(old.utf8.count), 0, 0, 0, 0, 0, 0, 0]
            let place = try #require(bytes.firstRange(of: length + Array(old.utf8)))
            bytes.replaceSubrange(place, with: length + Array(new.utf8))
        }
        try withScratch { scratch in
            let (file, target) = (scratch.appending(path: "omega.gguf"), scratch.appending(path: "bundle"))
            try Data(bytes).write(to: file)
            #expect(try onCompute { try ModelImport.run(from: file, to: target) }.hasTokenizer)
            let tokenizer = try Tokenizer(json: Data(contentsOf: target.appending(path: "tokenizer.json")))
            let (ohm, omega) = (tokenizer.id(of: "\u{2126}"), tokenizer.id(of: "\u{3A9}"))
            #expect(ohm != nil && omega != nil && ohm != omega)
            for text in ["\u{2126}", "\u{3A9}"] {
                #expect(
                    try tokenizer.decode(tokenizer.encode(text, addSpecialTokens: false).ids).utf8.elementsEqual(
                        text.utf8))
            }
        }
    }

    /// A file's head, built byte by byte.
    private struct Head {
        var bytes: [UInt8] = Array("GGUF".utf8)

        init(version: UInt32 = 3, tensors: UInt64, pairs: UInt64) {
            add(version)
            add(tensors)
            add(pairs)
        }

        mutating func add(_ number: some FixedWidthInteger) {
            withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
        }

        mutating func add(_ text: String) {
            add(UInt64(text.utf8.count))
            bytes += Array(text.utf8)
        }

        mutating func tensor(
            _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0, rank: UInt32? = nil
        ) {
            add(name)
            add(rank ?? UInt32(dimensions.count))
            for length in dimensions { add(length) }
            add(type)
            add(offset)
        }
    }

    private static func refused(
        _ parts: [String], code: MartletError.Code = .invalidData, _ bytes: [UInt8],
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        try withScratch { scratch in
            let file = scratch.appending(path: "hostile.gguf")
            try Data(bytes).write(to: file)
            let target = scratch.appending(path: "bundle")
            expectFault(code, ["hostile.gguf"] + parts, location) { _ = try ModelImport.run(from: file, to: target) }
            #expect(!FileManager.default.fileExists(atPath: target.path), sourceLocation: location)
        }
    }

    private static func oneTensor(_ parts: [String], _ change: (inout Head) -> Void) throws {
        var head = Head(tensors: 1, pairs: 0)
        change(&head)
        try refused(parts, head.bytes + [UInt8](repeating: 0, count: 256))
    }

    @Test func `M04: tensors past the end, wrapping sums and impossible shapes are refused`() throws {
        try Self.oneTensor(["past the file's end"]) { $0.tensor("a", [4], offset: 1 << 20) }
        try Self.oneTensor(["past the file's end"]) { $0.tensor("a", [4], offset: UInt64.max - 31) }
        try Self.oneTensor(["past the file's end"]) { $0.tensor("a", [1 << 20]) }
        try Self.oneTensor(["at most"]) { $0.tensor("a", [UInt64.max]) }
        try Self.oneTensor(["too large"]) { $0.tensor("a", [1 << 40, 1 << 40]) }
        try Self.oneTensor(["5 dimensions"]) { $0.tensor("a", [1, 1, 1, 1, 1]) }
        try Self.oneTensor(["dimensions"]) { $0.tensor("a", [], rank: UInt32.max) }
        try Self.oneTensor(["empty"]) { $0.tensor("a", [0]) }
        try Self.oneTensor(["aligned"]) { $0.tensor("a", [4], offset: 3) }
        try Self.oneTensor(["multiple of 256"]) { $0.tensor("a", [32], type: 12) }
    }

    @Test func `unknown types and versions are not supported`() throws {
        var head = Head(tensors: 1, pairs: 0)
        head.tensor("a", [32], type: 999)
        try Self.refused(["999"], code: .unsupportedFormat, head.bytes)
        try Self.refused(["version"], code: .unsupportedFormat, Head(version: 9, tensors: 0, pairs: 0).bytes)
    }

    @Test func `lengths and counts beyond the file take no memory`() throws {
        for count in [UInt64(1) << 60, UInt64.max, 1 << 22] {
            var text = Head(tensors: 0, pairs: 1)
            text.add("key")
            text.add(UInt32(8))
            text.add(count)
            try Self.refused([], text.bytes)
            var list = Head(tensors: 0, pairs: 1)
            list.add("key")
            list.add(UInt32(9))
            list.add(UInt32(8))
            list.add(count)
            try Self.refused([], list.bytes)
            try Self.refused([], Head(tensors: count, pairs: 0).bytes)
            try Self.refused([], Head(tensors: 0, pairs: count).bytes)
        }
    }

    @Test(arguments: [UInt32(0), 3, UInt32.max]) func `an impossible alignment is refused`(_ alignment: UInt32) throws {
        var head = Head(tensors: 0, pairs: 1)
        head.add("general.alignment")
        head.add(UInt32(4))
        head.add(alignment)
        try Self.refused(["alignment"], head.bytes)
    }

    @Test func `names given twice and tensors that overlap are refused`() throws {
        var twice = Head(tensors: 2, pairs: 0)
        twice.tensor("a", [4])
        twice.tensor("a", [4], offset: 32)
        try Self.refused(["twice"], twice.bytes + [UInt8](repeating: 0, count: 256))
        var over = Head(tensors: 2, pairs: 0)
        over.tensor("a", [16])
        over.tensor("b", [4], offset: 32)
        try Self.refused(["overlap"], over.bytes + [UInt8](repeating: 0, count: 256))
    }

    @Test func `a real file cut anywhere is refused, never read past`() throws {
        let whole = try Data(contentsOf: Self.golden("llama.gguf"))
        for part in 1..<24 { try Self.refused([], Array(whole.prefix(whole.count * part / 24))) }
    }
}
