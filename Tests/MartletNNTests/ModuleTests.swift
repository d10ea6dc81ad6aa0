import Foundation
import MartletNN
import MartletTensor
import MartletWire
import Testing

private final class Tied: Module {
    let tokens: Embedding
    let layers: [TransformerEncoderLayer]
    let extra: Linear?
    let none: Linear? = nil
    let head: Parameter
    let count = 3

    init() throws {
        tokens = try Embedding(5, 4)
        layers = try (0..<2).map { _ in
            try TransformerEncoderLayer(TransformerConfig(width: 4, headCount: 2, feedforward: 6))
        }
        extra = try Linear(4, 2, bias: false)
        head = tokens.weight
    }

    var renames: [String: String] { ["tokens": "wte", "extra": "lm.extra"] }
}

@Suite struct ModuleTests {
    @Test func checkpointNamesComeFromPropertiesAndTiedWeightsCountOnce() throws {
        let module = try Tied()
        let names = module.parameters().map(\.name)
        #expect(names.first == "wte.weight")
        #expect(names.contains("layers.1.self_attn.in_proj_weight"))
        #expect(names.contains("layers.0.self_attn.out_proj.bias"))
        #expect(names.last == "lm.extra.weight")
        #expect(!names.contains("head"))
        #expect(Set(names).count == names.count)
        #expect(module.parameterCount == module.parameters().reduce(0) { $0 + $1.parameter.value.count })
    }

    @Test func aSequentialHasPyTorchsNumbersForNames() throws {
        let net = try Sequential([Linear(2, 3), ActivationLayer(.relu), Sequential([BatchNorm1d(3)]), Linear(3, 1)])
        #expect(
            net.state().map(\.0) == [
                "0.weight", "0.bias", "2.0.weight", "2.0.bias", "3.weight", "3.bias", "2.0.running_mean",
                "2.0.running_var", "2.0.num_batches_tracked",
            ])
    }

    @Test func loadingSaysWhatIsWrongAndThenChangesNothing() throws {
        let net = try Sequential([Linear(2, 3), Linear(3, 1)])
        try net.initialize(seed: 1)
        let before = try net.state().map { try $0.1.detach().clone() }
        let good = try net.state().map { ($0.0, try $0.1.detach().zerosLike()) }
        let missing = #expect(throws: MartletError.self) { try net.load(good.dropLast()) }
        #expect(missing?.message.contains("'1.bias'") == true)
        let extra = #expect(throws: MartletError.self) { try net.load(good + [("x", Tensor.zeros([1]))]) }
        #expect(extra?.message.contains("'x'") == true)
        let wrong = #expect(throws: MartletError.self) {
            try net.load(good.dropLast() + [("1.bias", Tensor.zeros([2]))])
        }
        #expect(wrong?.message.contains("[2]") == true)
        for (tensor, old) in zip(net.state().map(\.1), before) { #expect(try tensor.equals(old)) }
        try net.load(good)
        #expect(try net.state().allSatisfy { try $0.1.norm().item() == 0 })
        let frozen = net.parameters().filter { !$0.parameter.isTrainable }
        #expect(frozen.isEmpty)
    }

    @Test func firstValuesHangOnTheSeedAndTheNameAlone() throws {
        let small = try Sequential([Linear(8, 8)])
        let large = try Sequential([Linear(8, 8), Linear(8, 8)])
        try small.initialize(seed: 3)
        try large.initialize(seed: 3)
        let (a, b) = (small.state().map(\.1), large.state().map(\.1))
        #expect(try a[0].equals(b[0]) && a[1].equals(b[1]))
        #expect(try !b[0].equals(b[2]))
        try small.initialize(seed: 4)
        #expect(try !small.state()[0].1.equals(b[0]))
    }

    @Test func firstValuesHaveTheSpreadOfPyTorch() throws {
        // (layer, parameter, lowest possible, deviation): from the formulas in each layer's description.
        let uniform = { (bound: Double) in bound / 3.0.squareRoot() }
        let layers: [(any Module, String, Double)] = try [
            (Linear(100, 400), "weight", uniform(0.1)),
            (Conv2d(4, 400, kernel: 5), "weight", uniform(0.1)),
            (Conv1d(20, 400, kernel: 5), "weight", uniform(0.1)),
            (Embedding(400, 100), "weight", 1),
            (LSTM(50, 100), "weight_ih_l0", uniform(0.1)),
            (MultiheadAttention(96, heads: 2), "in_proj_weight", uniform((6.0 / 384).squareRoot())),
            (LearnedPosition(400, 100), "weight", 0.02),
        ]
        for (layer, name, deviation) in layers {
            try layer.initialize(seed: 9)
            let state = Dictionary(layer.state(), uniquingKeysWith: { first, _ in first })
            let values = try #require(state[name]).detach().reshape([-1])
            let found = try values.variance([0]).item().squareRoot()
            #expect(abs(found / deviation - 1) < 0.03, "\(name): \(found), not \(deviation)")
            #expect(abs(try values.mean().item()) < 0.03 * deviation)
        }
        let padded = try Embedding(10, 4, padding: 3)
        try padded.initialize(seed: 1)
        #expect(try padded.weight.value.detach().select(0, 3).norm().item() == 0)
        #expect(try padded.weight.value.detach().select(0, 4).norm().item() > 0)
        let norm = try LayerNorm(4)
        try norm.initialize(seed: 1)
        #expect(try norm.weight.value.detach().array(of: Float.self) == [1, 1, 1, 1])
    }

    @Test func dropoutIsAFunctionOfSeedStepAndPlace() throws {
        let net = try Sequential([Dropout(0.5), Dropout(0.5)])
        let x = try Tensor.ones([64, 64])
        let run = { (seed: UInt64, step: UInt64, part: UInt64) in
            try net(x, Forward(training: true, seed: seed, step: step, part: part))
        }
        #expect(try run(1, 2, 0).equals(run(1, 2, 0)))
        for other in [(2, 2, 0), (1, 3, 0), (1, 2, 1)] as [(UInt64, UInt64, UInt64)] {
            #expect(try !run(1, 2, 0).equals(run(other.0, other.1, other.2)))
        }
        // Two dropouts in a row keep a quarter: their masks differ.
        let kept = try run(1, 2, 0).gt(0).to(.float64).mean().item()
        #expect(abs(kept - 0.25) < 0.04)
        #expect(try net(x, .inference()).equals(x))
    }

    @Test func recurrentDropoutLeavesTheLastLayerAlone() throws {
        let lstm = try LSTM(4, 8, layers: 3, dropout: 0.5)
        try lstm.initialize(seed: 2)
        let x = try Tensor.normal([2, 6, 4], key: RandomKey(seed: 1, purpose: 77))
        let plain = try lstm(x, .inference())
        let first = try lstm(x, Forward(training: true, seed: 1, step: 1))
        #expect(first.shape == plain.shape)
        #expect(try !first.equals(plain))
        #expect(try first.equals(lstm(x, Forward(training: true, seed: 1, step: 1))))
        #expect(try first.detach().eq(0).any().item() == 0)
        let (_, state) = try lstm(x, state: nil, Forward(training: true, seed: 1, step: 1))
        #expect(state.hidden.shape == [3, 2, 8] && state.memory?.shape == [3, 2, 8])
        let (uneven, _) = try lstm(x, state: nil, lengths: [6, 6], Forward(training: true, seed: 1, step: 1))
        #expect(uneven.shape == first.shape)
    }

    @Test func poolingOfOurOwnIsLibtorchsBitForBit() throws {
        let reference = Op("aten::max_pool2d")
        for (kernel, shape) in [(2, [3, 5, 26, 24]), (2, [2, 3, 7, 9]), (3, [2, 4, 10, 11]), (1, [1, 1, 3, 3])] {
            for type in [ScalarType.float32, .float64] {
                // Few values, so that windows have equals; and a NaN and infinities.
                let key = RandomKey(seed: 4, purpose: 80, stream: UInt64(kernel))
                let values = try Tensor.normal(shape, key: key, type: type).mul(2).round()
                try values.select(0, 0).select(0, 0).select(0, 1).select(0, 1).fill_(.nan)
                try values.select(0, 0).select(0, 0).select(0, 2).select(0, 2).fill_(-.infinity)
                var results: [[Tensor]] = []
                for own in [true, false] {
                    let x = try values.clone().requiresGrad(true)
                    let pool = MaxPool2d(kernel)
                    let y =
                        own
                        ? try pool(x, .inference())
                        : try reference.tensor(.tensor(x), .int(kernel), .int(kernel))
                    try y.backward(Tensor.normal(y.shape, key: key, type: type))
                    results.append([try y.detach(), try #require(x.grad)])
                }
                for (mine, theirs) in zip(results[0], results[1]) {
                    let same = try mine.withUnsafeBytes { a in
                        try theirs.withUnsafeBytes { b in Array(a) == Array(b) }
                    }
                    #expect(same, "\(kernel) \(shape) \(type)")
                }
            }
        }
        #expect(throws: TensorError.self) { try MaxPool2d(5)(Tensor.zeros([1, 1, 4, 4]), .inference()) }
    }

    @Test func wrongInputsAreErrorsWithTheirShapes() throws {
        let forward = Forward.inference()
        let flat = try Tensor.zeros([2, 3])
        #expect(throws: TensorError.self) { try MultiheadAttention(6, heads: 4) }
        #expect(throws: TensorError.self) { try Dropout(1.5) }
        #expect(throws: TensorError.self) { try Conv2d(3, 4, kernel: 3, groups: 2) }
        #expect(throws: TensorError.self) { try Embedding(3, 4, padding: 3) }
        for body in [
            { _ = try Linear(4, 2)(flat, forward) }, { _ = try LSTM(3, 2)(flat, forward) },
            { _ = try BatchNorm2d(3)(flat, forward) }, { _ = try MultiheadAttention(3, heads: 1)(flat, forward) },
            { _ = try SinusoidalPosition(4)(flat, forward) },
            { _ = try LearnedPosition(2, 3)(Tensor.zeros([1, 5, 3]), forward) },
            { _ = try GRU(3, 2)(Tensor.zeros([2, 4, 3]), state: nil, lengths: [5, 1], forward) },
        ] as [() throws -> Void] {
            let error = #expect(throws: TensorError.self) { try body() }
            #expect(error?.message.isEmpty == false)
        }
        // A token past the vocabulary is an error, not a wild read.
        #expect(throws: TensorError.self) { try Embedding(3, 2)(Tensor([7] as [Int64]), forward) }
    }
}
