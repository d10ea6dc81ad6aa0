import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletWire
import Testing

private let compute = ComputeThread()

@Suite struct LanguageAttentionTests {
    /// Runs sequences through a paged cache in the given parts; the logits of each sequence's tokens.
    static func paged(
        _ model: any LanguageModel, _ sequences: [[Int32]], parts: [[Int]], pageCount: Int = 200
    ) throws -> [Tensor] {
        try Tensor.inference {
            let attention = try PagedAttention(model.geometry, pageCount: pageCount)
            var free = (0..<Int32(pageCount)).map { ($0 &* 37 &+ 11) % Int32(pageCount) }
            let pages = sequences.map { tokens in
                let count = CachePages.count(for: tokens.count)
                defer { free.removeFirst(count) }
                return Array(free.prefix(count))
            }
            var done = sequences.map { _ in 0 }
            var logits: [[Tensor]] = sequences.map { _ in [] }
            for step in 0..<(parts.map(\.count).max() ?? 0) {
                var rows: [LanguageScheduler.Row] = []
                for (index, tokens) in sequences.enumerated() where step < parts[index].count {
                    let count = parts[index][step]
                    rows.append(
                        .init(
                            id: .init(request: UInt64(index), choice: 0),
                            tokens: Array(tokens[done[index]..<done[index] + count]), start: done[index],
                            pages: pages[index], samples: true, cachedTokens: 0))
                    done[index] += count
                }
                try attention.begin(rows)
                let all = try Tensor(rows.flatMap { $0.tokens.map(Int64.init) })
                let result = try model.logits(model.hidden(all, attention, .inference()), .inference())
                for (row, part) in zip(rows, try result.split(rows.map(\.tokens.count))) {
                    logits[Int(row.id.request)].append(part)
                }
            }
            return try logits.map { try Tensor.cat($0) }
        }
    }

    static func parts(_ count: Int, _ size: Int) -> [Int] {
        stride(from: 0, to: count, by: size).map { min(size, count - $0) }
    }

    @Test(arguments: TinyLanguageModel.names)
    func pagesGiveTheLogitsOfWholeSequences(_ name: String) throws {
        try compute.run {
            let model = try TinyLanguageModel.make(name)
            for count in [1, 17, 300] where count <= model.geometry.contextLength {
                let tokens = prompt(count, vocabulary: model.geometry.vocabularyCount)
                let expected = try model.sequenceLogits(tokens)
                for size in [count, 64, 7, 1] {
                    let found = try Self.paged(model, [tokens], parts: [Self.parts(count, size)])[0]
                    let error = try found.sub(expected).abs().max().item()
                    #expect(error <= 1e-4, "\(name), \(count) tokens in parts of \(size): \(error)")
                }
            }
        }
    }

    @Test func neighboursInAPassChangeNothing() throws {
        try compute.run {
            let model = try TinyLanguageModel.make("llama")
            let lengths = [1, 33, 100, 5, 250, 16]
            let sequences = lengths.enumerated().map { prompt($1, seed: $0) }
            let parts = lengths.enumerated().map { Self.parts($1, [1, 16, 40, 2, 100, 3][$0]) }
            let together = try Self.paged(model, sequences, parts: parts)
            for (tokens, found) in zip(sequences, together) {
                let error = try found.sub(model.sequenceLogits(tokens)).abs().max().item()
                #expect(error <= 1e-4, "\(tokens.count) tokens: \(error)")
            }
        }
    }

    @Test(arguments: [ScalarType.float32, .float16], PanelWeight.Instructions.allCases)
    func windowsScalesAndCapsAreThoseOfWholeSequences(
        _ type: ScalarType, _ instructions: PanelWeight.Instructions
    ) throws {
        try compute.run {
            let geometry = LanguageGeometry(
                layerCount: 1, headCount: 8, keyValueHeadCount: 2, headSize: 24, width: 8, vocabularyCount: 8,
                contextLength: 512)
            for options in [
                AttentionOptions(), .init(window: 20), .init(window: 1), .init(softcap: 3), .init(scale: 0.5),
                .init(scale: 2, window: 70, softcap: 1.5),
            ] {
                let count = 150
                let make = { (heads: Int, stream: UInt64) in
                    try Tensor.normal(
                        [count, heads, 24], std: 2, key: RandomKey(seed: 3, purpose: 99, stream: stream))
                }
                let (q, k, v) = (try make(8, 0), try make(2, 1), try make(2, 2))
                let kept = { (x: Tensor) in try x.to(type).to(.float32) }
                let expected = try SequenceAttention(lengths: [count])
                    .attend(layer: 0, q, kept(k), kept(v), options)
                let paged = try PagedAttention(geometry, pageCount: 12, type: type)
                paged.instructions = instructions
                for size in [150, 13, 1] {
                    var found: [Tensor] = []
                    for start in stride(from: 0, to: count, by: size) {
                        let length = min(size, count - start)
                        let row = LanguageScheduler.Row(
                            id: .init(request: 0, choice: 0), tokens: Array(repeating: 0, count: length), start: start,
                            pages: [3, 1, 11, 0, 7, 5, 2, 9, 10, 4], samples: false, cachedTokens: 0)
                        try paged.begin([row])
                        let part = { (x: Tensor) in try x.narrow(0, from: start, length: length) }
                        found.append(try paged.attend(layer: 0, part(q), part(k), part(v), options))
                    }
                    let error = try Tensor.cat(found).sub(expected).abs().max().item()
                    #expect(error <= 2e-5, "\(options) in parts of \(size): \(error)")
                }
            }
        }
    }

    @Test(arguments: [64, 40, 16, 6])
    func joinedQueriesAreTurnedAsTheFormulaSays(_ rotated: Int) throws {
        try compute.run {
            let (count, heads, groups, size) = (70, 4, 2, 64)
            let geometry = LanguageGeometry(
                layerCount: 1, headCount: heads, keyValueHeadCount: groups, headSize: size, width: 8,
                vocabularyCount: 8, contextLength: 128)
            let qkv = try Tensor.normal(
                [count, heads + 2 * groups, size], std: 1, key: RandomKey(seed: 8, purpose: 99), type: .float64)
            let rotary = try RotaryEmbedding(RotaryConfig(size: rotated, contextLength: 128))
            let whole = try SequenceAttention(lengths: [count])
            // In float64 the angles are applied step by step.
            let expected = try whole.attend(
                layer: 0, joined: qkv, groups: groups, rotatedBy: rotary(whole.positions), AttentionOptions())
            let paged = try PagedAttention(geometry, pageCount: 8)
            for size in [70, 13, 1] {
                var found: [Tensor] = []
                for start in stride(from: 0, to: count, by: size) {
                    let length = min(size, count - start)
                    try paged.begin([
                        .init(
                            id: .init(request: 0, choice: 0), tokens: Array(repeating: 0, count: length), start: start,
                            pages: [3, 1, 7, 0, 5], samples: false, cachedTokens: 0)
                    ])
                    let part = { (x: Tensor) in try x.narrow(0, from: start, length: length).contiguous() }
                    found.append(
                        try Tensor.inference {
                            try paged.attend(
                                layer: 0, joined: part(qkv.to(.float32)), groups: groups,
                                rotatedBy: rotary(paged.positions), AttentionOptions())
                        })
                }
                let error = try Tensor.cat(found).to(.float64).sub(expected).abs().max().item()
                #expect(error <= 2e-5, "in parts of \(size): \(error)")
            }
        }
    }

    @Test func keysAndValuesBeyond16BitsAreTheLargestThereAre() throws {
        try compute.run {
            let geometry = LanguageGeometry(
                layerCount: 1, headCount: 1, keyValueHeadCount: 1, headSize: 16, width: 8, vocabularyCount: 8,
                contextLength: 16)
            let values: [Float] =
                [1e6, -1e30, .infinity, -.infinity, 65_519, 65_504, 1e-7, 6e-8, 2e-8, -0.1]
                + Array(repeating: 3, count: 6)
            let expected: [Float] =
                [65_504, -65_504, 65_504, -65_504, 65_504, 65_504, 0x1p-23, 0x1p-24, 0, -0x1.998p-4]
                + Array(repeating: 3, count: 6)
            let paged = try PagedAttention(geometry, pageCount: 1, type: .float16)
            try paged.begin([
                .init(id: .init(request: 0, choice: 0), tokens: [0], start: 0, pages: [0], samples: true)
            ])
            let value = try Tensor(values).reshape([1, 1, 16])
            let found = try paged.attend(layer: 0, Tensor.zeros([1, 1, 16]), Tensor.zeros([1, 1, 16]), value, .init())
            #expect(try found.array(of: Float.self) == expected)
            #expect(throws: TensorError.self) { try PagedAttention(geometry, pageCount: 1, type: .int8) }
        }
    }

    @Test func whatIsNotInTheCacheIsNeverRead() throws {
        try compute.run {
            let model = try TinyLanguageModel.make("llama")
            let tokens = prompt(40)
            let expected = try model.sequenceLogits(tokens)
            // The pages hold another sequence's numbers, made very large, before this one comes.
            let attention = try PagedAttention(model.geometry, pageCount: 3)
            let found = try Tensor.inference {
                let loud = try Tensor.full([48, 2, 16], .nan)
                let row = { (tokens: [Int32]) in
                    LanguageScheduler.Row(
                        id: .init(request: 0, choice: 0), tokens: tokens, start: 0, pages: [0, 1, 2], samples: true,
                        cachedTokens: 0)
                }
                try attention.begin([row(prompt(48))])
                for layer in 0..<model.geometry.layerCount {
                    let queries = try Tensor.zeros([48, 4, 16])
                    _ = try attention.attend(layer: layer, queries, loud, loud, .init())
                }
                try attention.begin([row(tokens)])
                let all = try Tensor(tokens.map(Int64.init))
                return try model.logits(model.hidden(all, attention, .inference()), .inference())
            }
            #expect(try found.sub(expected).abs().max().item() <= 1e-4)
        }
    }

    @Test func aPassThatDoesNotFitItsPagesIsRefused() throws {
        try compute.run {
            let model = try TinyLanguageModel.make("llama")
            let attention = try PagedAttention(model.geometry, pageCount: 4)
            for (pages, start) in [([Int32](), 0), ([4], 0), ([-1], 0), ([0], 9), ([0], -1)] {
                #expect(throws: TensorError.self) {
                    try attention.begin([
                        .init(
                            id: .init(request: 0, choice: 0), tokens: prompt(8), start: start, pages: pages,
                            samples: true, cachedTokens: 0)
                    ])
                }
            }
        }
    }
}
