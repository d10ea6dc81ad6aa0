import MartletNN
import MartletTensor
import MartletWire
import Testing

// Our operator takes float32 in training; the plain formula in float64, which it never takes, is what it is held against.
@Suite struct DenseTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var rows: [Int]
        var inputs: Int
        var outputs: Int
        var bias = true
        /// nil: none; else whether it has a bias.
        var norm: Bool?
        var activation = Activation.none
        var adds = false
        var testDescription: String {
            "\(rows)×\(inputs)→\(outputs), bias \(bias), norm \(norm.map { "\($0)" } ?? "none"), \(activation), adds \(adds)"
        }
    }

    static let cases = [
        Case(rows: [768], inputs: 128, outputs: 384, bias: false, norm: false),
        Case(rows: [200], inputs: 512, outputs: 128, adds: true),
        Case(rows: [768], inputs: 128, outputs: 65, norm: true, activation: .geluTanh),
        Case(rows: [37], inputs: 33, outputs: 70, norm: true, activation: .gelu, adds: true),
        Case(rows: [300], inputs: 70, outputs: 45, norm: true, activation: .geluTanh, adds: true),
        Case(rows: [3, 7], inputs: 17, outputs: 31, norm: false, activation: .gelu),
        Case(rows: [50], inputs: 10, outputs: 1, activation: .sigmoid, adds: true),
        Case(rows: [2, 3, 5], inputs: 5, outputs: 4, activation: .geluTanh),
        // Few rows, which are laid out instead of the weight.
        Case(rows: [32], inputs: 1000, outputs: 128, activation: .relu),
        Case(rows: [5, 9], inputs: 301, outputs: 67, bias: false, activation: .gelu, adds: true),
        Case(rows: [127], inputs: 97, outputs: 200, adds: true),
        Case(rows: [1], inputs: 200, outputs: 100),
        Case(rows: [1], inputs: 1, outputs: 1),
        Case(rows: [0], inputs: 4, outputs: 3, norm: true, activation: .gelu),
    ]

    private struct Layers {
        let linear: Linear
        let norm: LayerNorm?
        let inputs: [Tensor]

        init(_ it: Case, type: ScalarType) throws {
            linear = try Linear(it.inputs, it.outputs, bias: it.bias)
            norm = try it.norm.map { try LayerNorm(it.inputs, bias: $0) }
            func random(_ shape: [Int], _ stream: UInt64) throws -> Tensor {
                try Tensor.normal(shape, key: RandomKey(seed: 5, purpose: 9, step: stream)).to(type)
            }
            var stream: UInt64 = 10
            for parameter in [linear.weight, linear.bias, norm?.weight, norm?.bias].compactMap({ $0 }) {
                parameter.value = try random(parameter.value.shape, stream).requiresGrad(true)
                stream += 1
            }
            var inputs = [try random(it.rows + [it.inputs], 1).requiresGrad(true)]
            if it.adds { inputs.append(try random(it.rows + [it.outputs], 2).requiresGrad(true)) }
            self.inputs = inputs
        }

        func callAsFunction(_ it: Case, _ forward: Forward) throws -> Tensor {
            try linear(
                inputs[0], after: norm, then: it.activation, adding: it.adds ? inputs[1] : nil, forward)
        }

        /// The operator itself, with the code of one kind of CPU; nil where it has no such activation.
        func callAsFunction(_ it: Case, _ instructions: PanelWeight.Instructions) throws -> Tensor? {
            guard let kind = [Activation.none, .relu, .gelu, .geluTanh].firstIndex(of: it.activation) else {
                return nil
            }
            return try Op("martlet::dense").tensor(
                .tensor(inputs[0]), .tensor(linear.weight.value), .optional(linear.bias?.value),
                .optional(norm?.weight.value), .optional(norm?.bias?.value), .optional(it.adds ? inputs[1] : nil), 1e-5,
                .int(kind), .int(instructions.rawValue))
        }

        /// The result, then the gradients of its weighted sum for all that has one.
        func run(_ it: Case, _ forward: Forward) throws -> [Tensor] { try run(callAsFunction(it, forward)) }

        func run(_ y: Tensor) throws -> [Tensor] {
            let weights = try Tensor.normal(y.shape, key: RandomKey(seed: 5, purpose: 9, step: 3)).to(y.scalarType)
            try y.mul(weights).sum().backward()
            let all = inputs + [linear.weight, linear.bias, norm?.weight, norm?.bias].compactMap { $0?.value }
            return [try y.detach()] + (try all.map { try #require($0.grad) })
        }
    }

    @Test(arguments: cases) func resultsAndGradientsAreThoseOfTheFormula(_ it: Case) throws {
        try ComputeThread().run {
            let expected = try Layers(it, type: .float64).run(it, Forward(training: true))
            for threads in [1, 2] {
                try Torch.setThreadCount(threads)
                defer { try? Torch.setThreadCount(1) }
                let ours = try Layers(it, type: .float32).run(it, Forward(training: true))
                for (place, (actual, wanted)) in zip(ours, expected).enumerated() {
                    let largest = wanted.count == 0 ? 1 : try wanted.abs().max().item()
                    try expectClose(
                        actual.to(.float64), wanted, rtol: 1e-5, atol: 5e-6 * (1 + largest), "\(place) of \(it)")
                }
            }
        }
    }

    /// What an older CPU computes with, tails of its tiles and panels among it: its code runs on this one too.
    @Test(
        arguments: cases + [
            Case(rows: [49], inputs: 48, outputs: 31, norm: true, activation: .relu, adds: true),
            Case(rows: [97], inputs: 16, outputs: 6, bias: false, activation: .relu),
            Case(rows: [5], inputs: 64, outputs: 13, norm: false, activation: .geluTanh, adds: true),
        ], PanelWeight.Instructions.allCases)
    func everyCPUsCodeGivesTheFormula(_ it: Case, _ instructions: PanelWeight.Instructions) throws {
        try ComputeThread().run {
            let expected = try Layers(it, type: .float64).run(it, Forward(training: true))
            for threads in [1, 2] {
                try Torch.setThreadCount(threads)
                defer { try? Torch.setThreadCount(1) }
                let layers = try Layers(it, type: .float32)
                guard let y = try layers(it, instructions) else { continue }
                for (place, (actual, wanted)) in zip(try layers.run(y), expected).enumerated() {
                    let largest = wanted.count == 0 ? 1 : try wanted.abs().max().item()
                    try expectClose(
                        actual.to(.float64), wanted, rtol: 1e-5, atol: 5e-6 * (1 + largest),
                        "\(place) of \(it) with \(instructions)")
                }
            }
        }
    }

    /// What a thread count does not change needs no word in a checkpoint.
    @Test func resultsDoNotDependOnHowTheWorkIsShared() throws {
        let it = Case(rows: [333], inputs: 96, outputs: 160, norm: true, activation: .gelu, adds: true)
        try ComputeThread().run {
            let all = try [1, 2, 3].map { threads in
                try Torch.setThreadCount(threads)
                defer { try? Torch.setThreadCount(1) }
                return try Layers(it, type: .float32).run(it, Forward(training: true))
            }
            for other in all.dropFirst() {
                for (a, b) in zip(all[0], other) { #expect(try a.eq(b).all().item() == 1) }
            }
        }
    }

    @Test func reluKeepsItsKinkAndNaN() throws {
        try ComputeThread().run {
            let linear = try Linear(1, 1, bias: false)
            try linear.weight.assign(Tensor([1], shape: [1, 1]))
            let x = try Tensor([-2, 0, 3, .nan] as [Float], shape: [4, 1]).requiresGrad(true)
            let y = try linear(x, then: .relu, Forward(training: true))
            try y.sum().backward()
            let values = try y.detach().array(of: Float.self)
            #expect(Array(values[..<3]) == [0, 0, 3])
            #expect(values[3].isNaN)
            #expect(try x.grad?.array(of: Float.self) == [0, 0, 1, 1])
        }
    }

    @Test func whatIsFrozenHasNoGradientAndASecondGradientIsRefused() throws {
        try ComputeThread().run {
            let linear = try Linear(3, 2)
            try linear.weight.assign(Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [2, 3]))
            try linear.weight.setTrainable(false)
            let x = try Tensor.ones([4, 3]).requiresGrad(true)
            try linear(x, Forward(training: true)).sum().backward()
            #expect(linear.weight.value.grad == nil)
            #expect(try linear.bias?.value.grad?.array(of: Float.self) == [4, 4])
            #expect(try x.grad?.select(0, 3).array(of: Float.self) == [5, 7, 9])
            let y = try linear(x, Forward(training: true)).sum()
            #expect(throws: TensorError.self) { _ = try y.gradients(of: [x], createGraph: true) }
        }
    }

    @Test func shapesThatDoNotFitAreRefused() throws {
        try ComputeThread().run {
            let (linear, forward) = (try Linear(3, 2), Forward(training: true))
            #expect(throws: TensorError.self) { _ = try linear(Tensor.ones([4, 2]), forward) }
            #expect(throws: TensorError.self) {
                _ = try linear(Tensor.ones([4, 3]), adding: Tensor.ones([4, 3]), forward)
            }
            #expect(throws: TensorError.self) {
                _ = try linear(Tensor.ones([4, 3]), after: LayerNorm(2), forward)
            }
        }
    }
}
