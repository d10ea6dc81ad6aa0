import MartletNN
import MartletTensor
import Testing

/// A text that is written token by token has the attention of one that is computed as a whole.
@Suite struct GrowingAttentionTests {
    @Test(
        arguments: [
            AttentionOptions(), AttentionOptions(scale: 0.3), AttentionOptions(window: 4), AttentionOptions(softcap: 5),
            AttentionOptions(window: 3, softcap: 5),
        ], [(heads: 4, groups: 4, size: 16), (heads: 6, groups: 2, size: 5)])
    func eachTokenSeesWhatItSeesInTheWhole(
        _ options: AttentionOptions, _ shape: (heads: Int, groups: Int, size: Int)
    ) throws {
        try Tensor.inference {
            let (heads, groups, size) = shape
            // Tokens of each sequence at first and in the end; one ends early.
            let (first, final) = ([3, 1, 7, 2], [9, 7, 9, 8])
            func numbers(_ heads: Int, _ stream: UInt64) throws -> [[Tensor]] {
                try (0..<2).map { layer in
                    try final.indices.map { sequence in
                        try Tensor.normal(
                            [final[sequence], heads, size],
                            key: RandomKey(
                                seed: 2, purpose: 9, step: stream, stream: UInt64(layer * 10 + sequence)))
                    }
                }
            }
            let (q, k, v) = (try numbers(heads, 1), try numbers(groups, 2), try numbers(groups, 3))
            let growing = try GrowingAttention(lengths: first)
            var lengths = first
            var open = [0, 1, 2, 3]
            var isFirst = true
            while true {
                #expect(growing.ends.count == open.count)
                for layer in [0, 1] {
                    func pass(_ x: [[Tensor]]) throws -> Tensor {
                        try Tensor.cat(
                            open.map { sequence in
                                isFirst
                                    ? try x[layer][sequence].narrow(0, from: 0, length: lengths[sequence])
                                    : try x[layer][sequence].narrow(0, from: lengths[sequence] - 1, length: 1)
                            })
                    }
                    let y = try growing.attend(layer: layer, pass(q), pass(k), pass(v), options)
                    for (place, sequence) in open.enumerated() {
                        let length = lengths[sequence]
                        let part = { (x: [[Tensor]]) in try x[layer][sequence].narrow(0, from: 0, length: length) }
                        let whole = try SequenceAttention(lengths: [length])
                            .attend(layer: layer, part(q), part(k), part(v), options)
                        let row = Int(growing.ends[place])
                        try expectClose(
                            y.select(0, row), whole.select(0, length - 1), rtol: 1e-5, atol: 2e-6,
                            "layer \(layer), sequence \(sequence) with \(length) tokens")
                        #expect(try growing.positions.select(0, row).intItem() == length - 1)
                    }
                }
                let next = open.indices.filter { lengths[open[$0]] < final[open[$0]] }
                guard !next.isEmpty else { break }
                try growing.goOn(next)
                open = next.map { open[$0] }
                for sequence in open { lengths[sequence] += 1 }
                isFirst = false
            }
            #expect(lengths == final)
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let growing = try GrowingAttention(lengths: [2, 1])
        let x = try Tensor.zeros([3, 2, 4])
        _ = try growing.attend(layer: 0, x, x, x, AttentionOptions())
        #expect(throws: TensorError.self) { try growing.goOn([0, 2]) }
        try growing.goOn([1])
        #expect(throws: TensorError.self) { try growing.attend(layer: 0, x, x, x, AttentionOptions()) }
        let one = try Tensor.zeros([1, 2, 4])
        #expect(throws: TensorError.self) { try growing.attend(layer: 1, one, one, one, AttentionOptions()) }
        #expect(try growing.attend(layer: 0, one, one, one, AttentionOptions()).shape == [1, 2, 4])
    }
}
