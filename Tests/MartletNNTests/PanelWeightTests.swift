import MartletNN
import MartletTensor
import Testing

/// A product of `inputs` to `outputs`; widths that fill no panel, one, and groups of them with and without a rest.
struct ProductCase: Sendable, CustomTestStringConvertible {
    let inputs: Int, outputs: Int, hasBias: Bool, isHalf: Bool
    var testDescription: String {
        "\(inputs)→\(outputs)\(hasBias ? " with a bias" : "")\(isHalf ? " in 16 bits" : "")"
    }

    static let all = [
        (1, 1), (7, 5), (33, 16), (64, 64), (70, 90), (130, 257), (40, 31), (512, 200),
    ].flatMap { inputs, outputs in
        [(false, false), (true, false), (false, true), (true, true)].map {
            ProductCase(inputs: inputs, outputs: outputs, hasBias: $0, isHalf: $1)
        }
    }

    func weight() throws -> Tensor {
        try Tensor.normal([outputs, inputs], std: 0.5, key: RandomKey(seed: 3, purpose: 90), type: .float32)
    }

    func bias() throws -> Tensor? {
        hasBias ? try Tensor.normal([outputs], std: 1, key: RandomKey(seed: 4, purpose: 90), type: .float32) : nil
    }

    func rows(_ count: Int) throws -> Tensor {
        try Tensor.normal([count, inputs], std: 1, key: RandomKey(seed: 5, purpose: 90), type: .float32)
    }

    /// The same in float64, of the weight as its format holds it.
    func expected(_ x: Tensor) throws -> Tensor {
        let weight = try isHalf ? weight().to(.float16) : weight()
        return try x.to(.float64).linear(weight.to(.float64), bias()?.to(.float64))
    }
}

@Suite struct PanelWeightTests {
    @Test(arguments: ProductCase.all, PanelWeight.Instructions.allCases)
    func aProductIsThatOfThePlainWeight(_ example: ProductCase, _ instructions: PanelWeight.Instructions) throws {
        try Tensor.inference {
            let packed = try PanelWeight(example.weight(), bias: example.bias(), half: example.isHalf)
            for count in Array(1...20) + [37, 40] {
                let x = try example.rows(count)
                try expectClose(
                    packed.product(x, instructions: instructions), example.expected(x), rtol: 1e-5, atol: 1e-4,
                    "\(count) rows")
                let residual = try Tensor.normal(
                    [count, example.outputs], std: 1, key: RandomKey(seed: 7, purpose: 90), type: .float32)
                let added = try packed.product(x, adding: residual, instructions: instructions)
                let plain = try packed.product(x, instructions: instructions).add(residual)
                #expect(try added.array(of: Float.self) == plain.array(of: Float.self), "\(count) rows")
            }
        }
    }

    @Test(arguments: [false, true], PanelWeight.Instructions.allCases)
    func aRowDoesNotDependOnItsNeighbours(_ isHalf: Bool, _ instructions: PanelWeight.Instructions) throws {
        try Tensor.inference {
            let example = ProductCase(inputs: 300, outputs: 150, hasBias: true, isHalf: isHalf)
            let packed = try PanelWeight(example.weight(), bias: example.bias(), half: isHalf)
            let x = try example.rows(29)
            let together = try packed.product(x, instructions: instructions)
            for count in 1...28 {
                let part = try packed.product(x.narrow(0, from: count, length: 29 - count), instructions: instructions)
                let same = try together.narrow(0, from: count, length: 29 - count)
                #expect(try part.array(of: Float.self) == same.array(of: Float.self), "\(29 - count) rows")
            }
        }
    }

    @Test func inputsOfAnyShapeAreTaken() throws {
        try Tensor.inference {
            let example = ProductCase(inputs: 24, outputs: 40, hasBias: true, isHalf: false)
            let packed = try PanelWeight(example.weight(), bias: example.bias(), half: false)
            let wide = try Tensor.normal([6, 60], std: 1, key: RandomKey(seed: 6, purpose: 90), type: .float32)
            let cut = try wide.narrow(1, from: 10, length: 24)
            try expectClose(packed(cut), example.expected(cut), rtol: 1e-5, atol: 1e-4, "rows cut out of wider ones")
            let turned = try wide.narrow(1, from: 0, length: 24).transpose(0, 1).contiguous().transpose(0, 1)
            try expectClose(packed(turned), example.expected(turned), rtol: 1e-5, atol: 1e-4, "columns side by side")
            let deep = try cut.reshape([2, 3, 24])
            try expectClose(packed(deep), example.expected(deep), rtol: 1e-5, atol: 1e-4, "three dimensions")
            let one = try cut.reshape([-1]).narrow(0, from: 0, length: 24)
            try expectClose(packed(one), example.expected(one), rtol: 1e-5, atol: 1e-4, "one dimension")
            #expect(try packed(Tensor.zeros([0, 24])).shape == [0, 40])
            #expect(throws: TensorError.self) { try packed(Tensor.zeros([2, 25])) }
            #expect(throws: TensorError.self) { try packed(cut, adding: Tensor.zeros([6, 41])) }
            let doubled = try packed(cut, adding: packed(cut).transpose(0, 1).contiguous().transpose(0, 1))
            try expectClose(doubled, packed(cut).mul(2), rtol: 1e-6, atol: 1e-6, "a residual with columns side by side")
            #expect(throws: TensorError.self) { try packed(Tensor.zeros([2, 24], type: .float64)) }
        }
    }

    @Test func aLargeWeightIsTheSame() throws {
        try Tensor.inference {
            // Over the size of a large page of memory, on both threads.
            let example = ProductCase(inputs: 700, outputs: 1_100, hasBias: false, isHalf: false)
            let packed = try PanelWeight(example.weight(), bias: nil, half: false)
            let x = try example.rows(8)
            try expectClose(packed(x), example.expected(x), rtol: 1e-5, atol: 1e-4, "large")
        }
    }

    @Test func weightsOutsideTheRangeOf16BitsAreRefused() throws {
        for bad in [Float(70_000), .infinity, .nan] {
            let weight = try Tensor([bad, 1, 2, 3]).reshape([2, 2])
            #expect(throws: TensorError.self) { try PanelWeight(weight, bias: nil, half: true) }
        }
        let weight = try Tensor([Float(65_504), 6e-8, -6.1e-5, 3]).reshape([2, 2])
        for instructions in PanelWeight.Instructions.allCases {
            let packed = try PanelWeight(weight, bias: nil, half: true)
            let y = try packed.product(Tensor([Float(1), 0, 0, 1]).reshape([2, 2]), instructions: instructions)
            // The smallest halves have no exponent of their own.
            #expect(try y.array(of: Float.self) == [65_504, -1023 * 0x1p-24, 0x1p-24, 3])
        }
    }
}

@Suite struct GateTests {
    @Test(arguments: [1, 15, 16, 37, 512])
    func aGateInOnePassIsThatOfItsParts(_ width: Int) throws {
        try Tensor.inference {
            let both = try Tensor.normal([5, 2 * width], std: 3, key: RandomKey(seed: 8, purpose: 90), type: .float32)
            let (gate, up) = (
                try both.narrow(1, from: 0, length: width), try both.narrow(1, from: width, length: width)
            )
            let expected = try gate.to(.float64).silu().mul(up.to(.float64))
            try expectClose(gate.siluGated(up: up), expected, rtol: 1e-6, atol: 1e-6, "gate")
            #expect(try gate.siluGated(up: both) == nil)
            #expect(try gate.to(.float64).siluGated(up: up.to(.float64)) == nil)
        }
        // Only whole tensors record gradients.
        let learned = try Parameter([2, width], .weight, .zeros)
        #expect(try learned.value.siluGated(up: Tensor.zeros([2, width])) == nil)
    }

    @Test func extremesStayWhatTheyAre() throws {
        let gate = try Tensor([Float(-1_000), -100, 0, 100, 1_000, .nan]).reshape([1, 6])
        let y = try #require(try gate.siluGated(up: Tensor([Float(1), 1, 1, 1, 1, 1]).reshape([1, 6])))
        let numbers = try y.array(of: Float.self)
        #expect(abs(numbers[0]) < 1e-30 && abs(numbers[1]) < 1e-30 && numbers[2] == 0)
        #expect(numbers[3] == 100 && numbers[4] == 1_000 && numbers[5].isNaN)
    }
}
