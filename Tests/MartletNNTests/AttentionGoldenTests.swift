import MartletNN
import MartletTensor
import MartletWire
import Testing

@Suite struct AttentionGoldenTests {
    private static let own = [true, true, true, false, true, true, true, true]
    private static let theirs = [true, true, false, false, true, true, true, true, true, false]

    @Test(arguments: Precision.all)
    func attentionGivesPyTorchsValuesAndGradients(_ precision: Precision) throws {
        let golden = try Golden("attention")
        let seen = try Tensor(Self.theirs, shape: [2, 1, 1, 5])
        let sdpa = { (name: String, mask: Tensor?, causal: Bool, scale: Double?) in
            try golden.check(name, precision) {
                try Attention.scaledDotProduct($0[0], $0[1], $0[2], mask: mask, causal: causal, scale: scale, $1)
            }
        }
        try sdpa("sdpa", nil, false, nil)
        try sdpa("sdpa_scale", nil, false, 0.3)
        try sdpa("sdpa_causal", nil, true, nil)
        try sdpa("sdpa_mask", seen, false, nil)
        try sdpa("sdpa_causal_mask", seen, true, nil)

        let (own, theirs) = (try Tensor(Self.own, shape: [2, 4]), try Tensor(Self.theirs, shape: [2, 5]))
        let heads = try MultiheadAttention(6, heads: 2)
        try golden.check("multihead", precision, module: heads) { try heads($0[0], $1) }
        let unbiased = try MultiheadAttention(6, heads: 3, bias: false)
        try golden.check("multihead_no_bias", precision, module: unbiased) { try unbiased($0[0], $1) }
        let causal = try MultiheadAttention(6, heads: 2)
        try golden.check("multihead_causal", precision, module: causal) { try causal($0[0], causal: true, $1) }
        let keyed = try MultiheadAttention(6, heads: 2)
        try golden.check("multihead_keys", precision, module: keyed) { try keyed($0[0], keyMask: own, $1) }
        let cross = try MultiheadAttention(6, heads: 2)
        try golden.check("multihead_cross", precision, module: cross) {
            try cross($0[0], memory: $0[1], keyMask: theirs, $1)
        }
    }

    @Test(arguments: Precision.all)
    func blocksGivePyTorchsValuesAndGradients(_ precision: Precision) throws {
        let golden = try Golden("attention")
        var config = TransformerConfig(width: 6, headCount: 2, feedforward: 8, dropout: 0)
        for normFirst in [false, true] {
            for activation in [Activation.relu, .gelu] {
                config.normFirst = normFirst
                config.activation = activation
                let name = "\(normFirst ? "pre" : "post")_\(activation.rawValue)"
                let encoder = try TransformerEncoderLayer(config)
                try golden.check("encoder_\(name)", precision, module: encoder) { try encoder($0[0], $1) }
                let decoder = try TransformerDecoderLayer(config)
                try golden.check("decoder_\(name)", precision, module: decoder) {
                    try decoder($0[0], memory: $0[1], $1)
                }
            }
        }
        let stack = try TransformerEncoder(
            TransformerConfig(width: 6, headCount: 2, feedforward: 8, dropout: 0, normFirst: true), layerCount: 2)
        try golden.check("encoder_stack", precision, module: stack) { try stack($0[0], $1) }
        let masked = try TransformerEncoderLayer(
            TransformerConfig(width: 6, headCount: 2, feedforward: 8, dropout: 0))
        let own = try Tensor(Self.own, shape: [2, 4])
        try golden.check("encoder_keys", precision, module: masked) { try masked($0[0], keyMask: own, $1) }
        let sinusoidal = SinusoidalPosition(6)
        try golden.check("sinusoidal", precision, module: sinusoidal) { try sinusoidal($0[0], $1) }
        let learned = try LearnedPosition(9, 6)
        try golden.check("learned", precision, module: learned) { try learned($0[0], $1) }
    }

    @Test func aMaskOfNumbersIsAddedToTheScores() throws {
        let key = RandomKey(seed: 1, purpose: 99)
        let q = try Tensor.normal([1, 1, 3, 4], key: key, type: .float64)
        let allowed = try Attention.causalMask(3, 3)
        let numbers = try Tensor.zeros([3, 3], type: .float64).maskedFill(allowed.logicalNot(), -.infinity)
        let forward = Forward.inference()
        let first = try Attention.scaledDotProduct(q, q, q, mask: numbers, forward)
        let second = try Attention.scaledDotProduct(q, q, q, causal: true, forward)
        try expectClose(first, second, rtol: 1e-12, atol: 1e-12, "masks")
    }

    @Test func dropoutInsideAttentionLeavesTheMeanAndComesFromThePass() throws {
        let q = try Tensor.normal([1, 1, 4, 8], key: RandomKey(seed: 2, purpose: 99), type: .float64)
        let plain = try Attention.scaledDotProduct(q, q, q, causal: true, Forward(training: true))
        var total = try plain.zerosLike()
        let passes = 4000
        for step in 0..<passes {
            let forward = Forward(training: true, seed: 5, step: UInt64(step))
            total = try total.add(
                Attention.scaledDotProduct(q, q, q, causal: true, dropout: 0.3, forward))
        }
        try expectClose(total.div(Double(passes)), plain, rtol: 0, atol: 0.1, "mean over passes")
        let again = { try Attention.scaledDotProduct(q, q, q, dropout: 0.3, Forward(training: true, seed: 5, step: 3)) }
        #expect(try again().equals(again()))
        let other = try Attention.scaledDotProduct(q, q, q, dropout: 0.3, Forward(training: true, seed: 5, step: 4))
        #expect(try !again().equals(other))
        let serving = try Attention.scaledDotProduct(q, q, q, causal: true, dropout: 0.3, .inference())
        #expect(try serving.equals(plain))
    }
}
