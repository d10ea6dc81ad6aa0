import MartletNN
import MartletTensor
import Testing

/// One convolution: outputs 16 go through the kernel of 8 numbers at a time, 32 and more through that of 16.
struct ConvolutionCase: Sendable, CustomTestStringConvertible {
    let inputs: Int, outputs: Int, height: Int, width: Int, padding: Int, rows: Int
    var testDescription: String { "\(rows)×\(inputs)→\(outputs) on \(height)×\(width), padding \(padding)" }

    static let all = [
        ConvolutionCase(inputs: 32, outputs: 64, height: 26, width: 26, padding: 0, rows: 1),
        ConvolutionCase(inputs: 32, outputs: 64, height: 26, width: 26, padding: 1, rows: 5),
        ConvolutionCase(inputs: 16, outputs: 32, height: 3, width: 3, padding: 0, rows: 3),
        ConvolutionCase(inputs: 8, outputs: 16, height: 7, width: 13, padding: 1, rows: 2),
        ConvolutionCase(inputs: 24, outputs: 48, height: 1, width: 9, padding: 2, rows: 17),
        ConvolutionCase(inputs: 64, outputs: 128, height: 14, width: 14, padding: 1, rows: 2),
    ]
}

@Suite struct WinogradTests {
    @Test(arguments: ConvolutionCase.all)
    func aPackedConvolutionGivesWhatThePlainOneGives(_ example: ConvolutionCase) throws {
        try Tensor.inference {
            let layer = try Conv2d(example.inputs, example.outputs, kernel: 3, padding: example.padding)
            try layer.initialize(seed: 3)
            let key = RandomKey(seed: 5, purpose: 90)
            let x = try Tensor.normal(
                [example.rows, example.inputs, example.height, example.width], std: 1, key: key, type: .float32)
            let expected = try layer(x, .inference())
            try layer.pack()
            let packed = try layer(x, .inference())
            try expectClose(packed, expected, rtol: 0, atol: 1e-4, "packed")
            // Otherwise it was not the packed form that answered.
            #expect(try packed.array(of: Float.self) != expected.array(of: Float.self))
        }
    }

    @Test func noPicturesGiveNoResult() throws {
        try Tensor.inference {
            let layer = try Conv2d(32, 32, kernel: 3, padding: 1)
            try layer.pack()
            #expect(try layer(Tensor.zeros([0, 32, 10, 10]), .inference()).shape == [0, 32, 10, 10])
        }
    }

    @Test func aPictureDoesNotDependOnItsNeighbours() throws {
        try Tensor.inference {
            let layer = try Conv2d(32, 32, kernel: 3, padding: 1)
            try layer.initialize(seed: 3)
            try layer.pack()
            let x = try Tensor.normal([6, 32, 10, 10], std: 1, key: RandomKey(seed: 7, purpose: 90), type: .float32)
            let together = try layer(x, .inference())
            for row in 0..<6 {
                let alone = try layer(x.narrow(0, from: row, length: 1), .inference())
                try expectClose(
                    together.narrow(0, from: row, length: 1), alone, rtol: 0, atol: 1e-6, "picture \(row)")
            }
        }
    }

    @Test func whatThePackedFormCannotDoStaysAsItIs() throws {
        try Tensor.inference {
            let x = try Tensor.normal([2, 8, 9, 9], std: 1, key: RandomKey(seed: 9, purpose: 90), type: .float32)
            for layer in [
                try Conv2d(8, 16, kernel: 3, stride: 2), try Conv2d(8, 16, kernel: 5), try Conv2d(8, 12, kernel: 3),
                try Conv2d(8, 16, kernel: 3, groups: 2), try Conv2d(8, 16, kernel: 3, padding: 3),
            ] {
                try layer.initialize(seed: 1)
                let expected = try layer(x, .inference())
                try layer.pack()
                #expect(try layer(x, .inference()).array(of: Float.self) == expected.array(of: Float.self))
            }
        }
    }
}
