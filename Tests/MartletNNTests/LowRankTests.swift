import MartletNN
import MartletTensor
import Testing

/// Weights that a fine-tuning computes with: in eight bits, and with a low-rank addition.
@Suite(.serialized) struct LowRankTests {
    private static let key = RandomKey(seed: 5, purpose: 91)

    /// Rows enough that they are turned to float32 in several blocks.
    private static func weight() throws -> Tensor {
        try Tensor.normal([1500, 3000], std: 0.02, key: key)
    }

    /// What the eight bits stand for, row by row.
    private static func rounded(_ weight: Tensor) throws -> Tensor {
        let scale = try weight.abs().max([1], keep: true).div(127)
        return try weight.div(scale).round().mul(scale)
    }

    @Test func `eight bits give the product and gradient of what they stand for`() throws {
        let weight = try Self.weight()
        let bias = try Tensor.normal([1500], key: RandomKey(seed: 6, purpose: 91))
        let packed = try Int8Weight(weight, bias: bias)
        let dense = DenseWeight(try Self.rounded(weight), bias: bias)
        let worst = try Self.rounded(weight).sub(weight).abs().max().item()
        let largest = try weight.abs().max().item()
        #expect(worst <= largest / 127 / 2 * 1.0001 && worst > 0)
        var found: [(y: Tensor, gradient: Tensor)] = []
        for product in [packed, dense] as [any LinearWeight] {
            let x = try Tensor.normal([2, 7, 3000], key: RandomKey(seed: 7, purpose: 91)).requiresGrad(true)
            let y = try product(x)
            #expect(y.shape == [2, 7, 1500])
            try y.mul(y).sum().backward()
            found.append((try y.detach(), try #require(x.grad)))
        }
        #expect(try found[0].y.sub(found[1].y).abs().max().item() < 1e-4)
        let scale = try found[1].gradient.abs().max().item()
        #expect(try found[0].gradient.sub(found[1].gradient).abs().max().item() < 1e-5 * scale)
    }

    @Test func `eight bits give the same bits every time`() throws {
        try Torch.setDeterministic(true)
        try Torch.setThreadCount(2)
        defer { try? Torch.setThreadCount(1) }
        let packed = try Int8Weight(Self.weight(), bias: nil)
        var first: (Tensor, Tensor)?
        for _ in 0..<5 {
            let x = try Tensor.normal([64, 3000], key: RandomKey(seed: 8, purpose: 91)).requiresGrad(true)
            let y = try packed(x)
            try y.sum().backward()
            let gradient = try #require(x.grad)
            if let first {
                #expect(try first.0.equals(y.detach()) && first.1.equals(gradient))
            } else {
                first = (try y.detach(), gradient)
            }
        }
    }

    @Test func `a row of zeros stays one, and what is not finite is refused`() throws {
        let weight = try Tensor([0, 0, 1, -2] as [Float], shape: [2, 2])
        let y = try Int8Weight(weight, bias: nil)(Tensor([3, 5] as [Float], shape: [1, 2])).array(of: Float.self)
        #expect(y[0] == 0 && abs(y[1] + 7) < 0.1)
        let broken = try Tensor([0, .infinity] as [Float], shape: [1, 2])
        #expect(throws: TensorError.self) { try Int8Weight(broken, bias: nil) }
    }

    @Test func `an addition starts at nothing, and alone is trained`() throws {
        let layer = try Linear(6, 5)
        let other = try Linear(6, 3)
        for (index, linear) in [layer, other].enumerated() {
            try linear.initialize(seed: UInt64(index + 1))
            try linear.setTrainable(false)
        }
        let addition = try LowRank(6, 5, rank: 2, scale: 4)
        try addition.initialize(seed: 3)
        let group = LinearGroup(layer, other)
        let x = try Tensor.normal([4, 6], key: Self.key)
        let before = try group(x, .inference())
        group.packed = LowRankWeight(
            [
                (DenseWeight(layer.weight.value, bias: layer.bias?.value), addition),
                (DenseWeight(other.weight.value, bias: other.bias?.value), nil),
            ], CurrentPass())
        let start = try group(x, .inference())
        #expect(try zip(before, start).allSatisfy { try $0.equals($1) })
        try addition.lora_B.weight.assign(Tensor.normal([5, 2], key: Self.key))
        let added = try group(x, .inference())
        let a = addition.lora_A.weight.value
        let expected = try x.matmul(a.transpose()).matmul(addition.lora_B.weight.value.transpose()).mul(4)
        #expect(try added[0].sub(before[0]).sub(expected).abs().max().item() < 1e-5)
        #expect(try added[1].equals(before[1]))
        // Evenly within 1/√6, as PEFT draws it.
        #expect(try a.abs().max().item() <= 1 / 6.0.squareRoot())
        try added[0].sum().backward()
        #expect(addition.lora_A.weight.value.grad != nil && addition.lora_B.weight.value.grad != nil)
        #expect(layer.weight.value.grad == nil && other.weight.value.grad == nil)
    }
}
