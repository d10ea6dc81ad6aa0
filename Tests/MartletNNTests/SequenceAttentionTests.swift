import MartletNN
import MartletTensor
import Testing

@Suite struct SequenceAttentionTests {
    /// Our kernel takes short causal sequences; libtorch's operators, which it is held against, take each alone.
    @Test(arguments: [
        (heads: 4, groups: 4, size: 32, lengths: [64, 64, 64]),
        (heads: 4, groups: 2, size: 16, lengths: [1, 7, 17, 6, 33, 130]),
        (heads: 6, groups: 1, size: 48, lengths: [200, 13]),
    ])
    func shortSequencesHaveTheResultsAndGradientsOfTheFormula(
        _ heads: Int, _ groups: Int, _ size: Int, _ lengths: [Int]
    ) throws {
        try ComputeThread().run {
            let count = lengths.reduce(0, +)
            func input(_ heads: Int, _ stream: UInt64) throws -> Tensor {
                try Tensor.normal([count, heads, size], key: RandomKey(seed: 3, purpose: 9, step: stream))
            }
            let inputs = try [input(heads, 1), input(groups, 2), input(groups, 3)]
            let weights = try Tensor.normal([count, heads, size], key: RandomKey(seed: 3, purpose: 9, step: 4))
            /// The result, and the gradients of its weighted sum.
            func run(_ attend: ([Tensor]) throws -> Tensor) throws -> (y: Tensor, gradients: [Tensor]) {
                let copies = try inputs.map { try $0.detach().clone().requiresGrad(true) }
                let y = try attend(copies)
                try y.mul(weights).sum().backward()
                return (y, try copies.map { try #require($0.grad) })
            }
            let ours = try run {
                try SequenceAttention(lengths: lengths).attend(layer: 0, $0[0], $0[1], $0[2], AttentionOptions())
            }
            let expected = try run { x in
                let parts = try x.map { x in
                    let shape = [count, x.size(1), heads / x.size(1), size]
                    return try x.unsqueeze(2).expand(shape).reshape([count, heads, size]).split(lengths)
                }
                return try Tensor.cat(
                    lengths.indices.map { i in
                        let alone = try parts.map { try $0[i].transpose(0, 1) }
                        return try Attention.scaledDotProduct(
                            alone[0], alone[1], alone[2], causal: true, .inference()
                        ).transpose(0, 1)
                    })
            }
            // The code of each kind of CPU runs on this one too.
            let each = try PanelWeight.Instructions.allCases.map { instructions in
                try run { x in
                    try Op("martlet::sequence_attention").tensor(
                        .tensor(x[0]), .tensor(x[1]), .tensor(x[2]), .ints(lengths),
                        .double(1 / Double(size).squareRoot()), .int(instructions.rawValue))
                }
            }
            for ours in [ours] + each {
                #expect(try ours.y.sub(expected.y).abs().max().item() < 1e-5)
                for (gradient, wanted) in zip(ours.gradients, expected.gradients) {
                    #expect(try gradient.sub(wanted).abs().max().item() < 1e-4)
                }
            }
        }
    }

    /// One tensor of all three has the result and, in one piece, the gradient of the three.
    @Test(arguments: [true, false]) func joinedQueriesKeysAndValuesAreTheSame(_ isShort: Bool) throws {
        try ComputeThread().run {
            let (heads, groups, size, lengths) = (4, 2, isShort ? 16 : 12, [5, 33, 1])
            let shape = [lengths.reduce(0, +), heads + 2 * groups, size]
            let given = try Tensor.normal(shape, key: RandomKey(seed: 3, purpose: 9, step: 7))
            let weights = try Tensor.normal(
                [shape[0], heads, size], key: RandomKey(seed: 3, purpose: 9, step: 8))
            func run(_ attend: (SequenceAttention, Tensor) throws -> Tensor) throws -> [Tensor] {
                let qkv = try given.detach().clone().requiresGrad(true)
                let y = try attend(SequenceAttention(lengths: lengths), qkv)
                try y.mul(weights).sum().backward()
                return [try y.detach(), try #require(qkv.grad)]
            }
            let joined = try run {
                try $0.attend(layer: 0, joined: $1, groups: groups, rotatedBy: nil, AttentionOptions())
            }
            let apart = try run { attention, qkv in
                let parts = try qkv.split([heads, groups, groups], axis: 1)
                return try attention.attend(layer: 0, parts[0], parts[1], parts[2], AttentionOptions())
            }
            for (a, b) in zip(joined, apart) { #expect(try a.sub(b).abs().max().item() < 1e-6) }
        }
    }
}
