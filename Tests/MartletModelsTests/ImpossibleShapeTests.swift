import Foundation
import MartletModels
import MartletTensor
import MartletTesting
import MartletWire
import Testing

/// What cannot be built is refused with the place and the remedy; nothing of a bundle's file may end the process.
@Suite struct ImpossibleShapeTests {
    private static func build(_ input: NetworkConfig.Input) throws {
        _ = try onCompute {
            _ = try network([input])
            return true
        }
    }

    @Test func `convolutions that leave nothing of the image are named`() {
        expectFault(.invalidRecipe, ["inputs.x.encoder", "convolution 2", "5×5"]) {
            try Self.build(
                .image(
                    "x", [1, 5, 5],
                    encoder(.cnn) {
                        $0.channels = [4, 4]; $0.pool = [2]
                    }))
        }
        // One pixel too small for the kernel, with a stride that would round it up.
        expectFault(.invalidRecipe, ["convolution 1", "2×2"]) {
            try Self.build(
                .image(
                    "x", [1, 2, 2],
                    encoder(.cnn) {
                        $0.channels = [4]; $0.stride = [2]
                    }))
        }
        expectFault(.invalidRecipe, ["inputs.x", "[channels, height, width]"]) {
            try Self.build(.image("x", [28, 28], encoder(.cnn)))
        }
    }

    @Test func `lists that are too short or hold zeros are refused, not run into`() {
        for change: @Sendable (inout EncoderConfig) -> Void in [
            { $0.kernel = [3, 3, 3] }, { $0.pool = [] }, { $0.stride = [1, 1, 1] }, { $0.padding = [0, 0, 0] },
            { $0.stride = [0] }, { $0.pool = [0] }, { $0.kernel = [0] }, { $0.padding = [-1] }, { $0.channels = [] },
            { $0.channels = [4, 0] }, { $0.kernel = [Int.max] }, { $0.padding = [Int.max] },
        ] {
            expectFault(.invalidRecipe, ["inputs.x.encoder"]) {
                try Self.build(
                    .image(
                        "x", [1, 9, 9],
                        encoder(.cnn) {
                            $0.channels = [4, 4]; change(&$0)
                        }))
            }
        }
    }

    @Test func `an even kernel over tokens is refused`() {
        expectFault(.invalidRecipe, ["kernel", "4", "odd"]) {
            try Self.build(
                .text(
                    "x", 6, 11,
                    encoder(.cnn) {
                        $0.channels = [5]; $0.kernel = [4]
                    }))
        }
        expectFault(.invalidRecipe, ["kernel"]) {
            try Self.build(
                .text(
                    "x", 6, 11,
                    encoder(.cnn) {
                        $0.channels = [5, 5]; $0.kernel = []
                    }))
        }
    }

    @Test func `heads that do not divide the width are refused`() {
        #expect(throws: (any Error).self) {
            try Self.build(.text("x", 6, 11, encoder(.transformer) { $0.heads = 3 }))
        }
    }

    @Test func `weights that do not fit are named and change nothing`() throws {
        try onCompute {
            let small = try network([.vector("x", 3)])
            let before = try small.state().map { try $0.1.array(of: Float.self) }
            let large = try network([.vector("x", 4)])
            expectFault(.invalidData, ["decoders.label.weight", "[3, 4]", "[3, 3]"]) { try small.load(large.state()) }
            expectFault(.invalidData, ["decoders.label.bias", "missing"]) {
                try small.load(small.state().filter { !$0.0.hasSuffix("bias") })
            }
            expectFault(.invalidData, ["extra"]) { try small.load(small.state() + [("extra", Tensor.zeros([1]))]) }
            #expect(try small.state().map { try $0.1.array(of: Float.self) } == before)
        }
    }
}
