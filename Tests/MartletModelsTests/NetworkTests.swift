import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire
import Testing

/// Every encoder that a recipe can name: it builds, gives its shape, learns, and has the documented names.
@Suite struct NetworkTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var input: NetworkConfig.Input
        /// The names of the encoder's part of the checkpoint, after `encoders.x.`.
        var names: [String]
        /// The encoder's result for one row.
        var output: [Int]

        var testDescription: String { name }

        func values(rows: Int) throws -> Tensor {
            switch input.type {
            case .category:
                return try Tensor((0..<rows).map { Int64($0 % input.categoryCount) }, shape: [rows])
            case .text, .sequence:
                let tokens = input.shape[0]
                return try Tensor(
                    (0..<rows * tokens).map { index -> Int64 in
                        // The last places of odd rows are padding.
                        let (row, place) = (index / tokens, index % tokens)
                        return row % 2 == 1 && place >= tokens - 2
                            ? 0 : Int64(1 + (index * 5) % (input.categoryCount - 1))
                    }, shape: [rows, tokens])
            case .image:
                return try MartletModelsTests.values([rows] + input.shape)
            default: return try MartletModelsTests.values([rows] + input.shape)
            }
        }
    }

    private static let transformerNames =
        ["embedding.weight", "body.position.weight", "body.encoder.norm.weight", "body.encoder.norm.bias"]
        + [
            "self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight",
            "self_attn.out_proj.bias",
            "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias", "norm1.weight", "norm1.bias",
            "norm2.weight", "norm2.bias",
        ].map { "body.encoder.layers.0." + $0 }

    private static func recurrent(_ suffixes: [String]) -> [String] {
        ["embedding.weight"]
            + suffixes.flatMap { suffix in
                ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map { "body.\($0)_\(suffix)" }
            }
    }

    static let cases: [Case] = [
        Case(name: "number", input: .number("x"), names: [], output: [1]),
        Case(
            name: "number, dense", input: .number("x", encoder(.dense) { $0.widths = [4] }),
            names: ["0.weight", "0.bias"], output: [4]),
        Case(name: "vector", input: .vector("x", 5), names: [], output: [5]),
        Case(
            name: "vector, dense", input: .vector("x", 5, encoder(.dense) { $0.widths = [4, 3] }),
            names: ["0.weight", "0.bias", "1.weight", "1.bias"], output: [3]),
        Case(name: "category, one-hot", input: .category("x", 4), names: [], output: [4]),
        Case(
            name: "category, dense",
            input: .category(
                "x", 4,
                encoder(.dense) {
                    $0.widths = [2]; $0.bias = false
                }),
            names: ["0.weight"], output: [2]),
        Case(
            name: "category, embedding", input: .category("x", 4, encoder(.embedding)), names: ["weight"], output: [8]),
        Case(
            name: "image, as it is", input: .image("x", [1, 4, 3], encoder(.passthrough)), names: [], output: [12]),
        Case(
            name: "image, cnn",
            input: .image(
                "x", [3, 12, 10],
                encoder(.cnn) {
                    $0.channels = [4, 6]; $0.pool = [2, 1]; $0.padding = [1]
                }),
            names: ["convolutions.0.weight", "convolutions.0.bias", "convolutions.1.weight", "convolutions.1.bias"],
            output: [6 * 6 * 5]),
        Case(
            name: "image, cnn with batch norm",
            input: .image(
                "x", [1, 8, 8],
                encoder(.cnn) {
                    $0.channels = [4]; $0.norm = .batch; $0.bias = false
                }),
            names: [
                "convolutions.0.weight", "norms.0.weight", "norms.0.bias", "norms.0.running_mean",
                "norms.0.running_var", "norms.0.num_batches_tracked",
            ], output: [4 * 6 * 6]),
        Case(
            name: "image, cnn with group norm and stride",
            input: .image(
                "x", [1, 9, 9],
                encoder(.cnn) {
                    $0.channels = [8]; $0.norm = .group; $0.stride = [2]
                }),
            names: ["convolutions.0.weight", "convolutions.0.bias", "norms.0.weight", "norms.0.bias"],
            output: [8 * 4 * 4]),
        Case(
            name: "text, embedding", input: .text("x", 6, 11, encoder(.embedding)), names: ["embedding.weight"],
            output: [8]),
        Case(
            name: "text, cnn", input: .text("x", 6, 11, encoder(.cnn) { $0.channels = [5, 7] }),
            names: [
                "embedding.weight", "body.convolutions.0.weight", "body.convolutions.0.bias",
                "body.convolutions.1.weight", "body.convolutions.1.bias",
            ], output: [7]),
        Case(name: "text, rnn", input: .text("x", 6, 11, encoder(.rnn)), names: recurrent(["l0"]), output: [6]),
        Case(
            name: "text, lstm of two layers", input: .text("x", 6, 11, encoder(.lstm) { $0.layers = 2 }),
            names: recurrent(["l0", "l1"]), output: [6]),
        Case(
            name: "text, gru both ways", input: .text("x", 6, 11, encoder(.gru) { $0.bidirectional = true }),
            names: recurrent(["l0", "l0_reverse"]), output: [12]),
        Case(
            name: "text, lstm both ways, mean",
            input: .text(
                "x", 6, 11,
                encoder(.lstm) {
                    $0.bidirectional = true; $0.reduce = .mean
                }),
            names: recurrent(["l0", "l0_reverse"]), output: [12]),
        Case(
            name: "text, gru both ways, last",
            input: .text(
                "x", 6, 11,
                encoder(.gru) {
                    $0.bidirectional = true; $0.reduce = .last
                }),
            names: recurrent(["l0", "l0_reverse"]), output: [12]),
        Case(
            name: "text, transformer", input: .text("x", 6, 11, encoder(.transformer)), names: transformerNames,
            output: [8]),
    ]

    @Test(arguments: cases)
    func `an encoder has its shape, its names, and a gradient for every weight`(item: Case) throws {
        try onCompute {
            let network = try network([item.input], layers: [5])
            let rows = 3
            let results = try network([item.values(rows: rows)], Forward(training: true))
            #expect(results.map(\.shape) == [[rows, 3]])
            #expect(network.layerSummaries.first?.output == [-1] + item.output)
            let parts = item.names.map { "encoders.x." + $0 }
            let others = ["combiner.0.weight", "combiner.0.bias", "decoders.label.weight", "decoders.label.bias"]
            #expect(Set(network.state().map(\.0)) == Set(parts + others))
            let target = try Tensor([Int64(0), 2, 1], shape: [3])
            try Loss.crossEntropy(results[0], target).backward()
            for item in network.parameters() {
                let gradient = try #require(item.parameter.value.grad, "\(item.name) has no gradient")
                #expect(try gradient.isfinite().all().item() != 0, "\(item.name)")
                // An embedding's gradient reaches the rows that were used.
                #expect(try gradient.array(of: Float.self).contains { $0 != 0 }, "\(item.name)")
            }
        }
    }

    @Test(arguments: cases)
    func `a row's result does not depend on its neighbours`(item: Case) throws {
        try onCompute {
            let network = try network([item.input], layers: [5])
            let all = try item.values(rows: 4)
            let together = try network([all], .inference())[0].array(of: Float.self)
            for row in 0..<4 {
                let alone = try network([all.narrow(0, from: row, length: 1)], .inference())[0].array(of: Float.self)
                for (one, other) in zip(alone, together[row * 3..<row * 3 + 3]) {
                    #expect(abs(one - other) <= 1e-6, "row \(row)")
                }
            }
        }
    }

    @Test func `several inputs are joined and several outputs have their shapes`() throws {
        try onCompute {
            let network = try network(
                [.number("age"), .category("色", 3), .vector("v", 4, encoder(.dense) { $0.widths = [2] })],
                outputs: [
                    .init(name: "label", type: .category, size: 3), .init(name: "price", type: .number, size: 1),
                    .init(name: "flag", type: .boolean, size: 1),
                    .init(name: "point", type: .vector, size: 2, activation: .tanh),
                ])
            let results = try network(
                [values([5]), Tensor([Int64(0), 1, 2, 0, 1], shape: [5]), values([5, 4])], .inference())
            #expect(results.map(\.shape) == [[5, 3], [5], [5], [5, 2]])
            #expect(try results[3].array(of: Float.self).allSatisfy { abs($0) <= 1 })
            #expect(network.state().map(\.0).contains("decoders.price.weight"))
            #expect(network.state().first { $0.0 == "decoders.label.weight" }?.1.shape == [3, 1 + 3 + 2])
        }
    }

    @Test(arguments: [EncoderConfig.Kind.embedding, .cnn, .rnn, .lstm, .gru, .transformer])
    func `a sequence stays one with reduce none`(kind: EncoderConfig.Kind) throws {
        try onCompute {
            let input = NetworkConfig.Input(
                name: "x", type: .sequence, shape: [6], categoryCount: 9,
                encoder: encoder(kind) { $0.reduce = EncoderConfig.Reduction.none })
            let network = try network([input], outputs: [.init(name: "next", type: .sequence, size: 7)])
            let tokens = try Tensor((0..<12).map { Int64($0 % 8 + 1) }, shape: [2, 6])
            #expect(try network([tokens], .inference())[0].shape == [2, 6, 7])
        }
    }

    @Test func `bytes of an image and their fractions give the same result`() throws {
        try onCompute {
            let network = try network([.image("x", [1, 6, 6], encoder(.cnn) { $0.channels = [3] })])
            let bytes = (0..<36).map { UInt8($0 * 7) }
            let whole = try network([Tensor(bytes, shape: [1, 1, 6, 6])], .inference())[0]
            let part = try network([Tensor(bytes.map { Float($0) / 255 }, shape: [1, 1, 6, 6])], .inference())[0]
            for (a, b) in zip(try whole.array(of: Float.self), try part.array(of: Float.self)) {
                #expect(abs(a - b) <= 1e-6)
            }
        }
    }

    @Test func `a network's configuration survives its file, and so do its weights`() throws {
        try onCompute {
            let network = try network([.text("x", 6, 11, encoder(.gru)), .number("n")], layers: [4])
            let data = try JSONEncoder.wire.encode(network.config)
            let config = try JSONDecoder.wire.decode(NetworkConfig.self, from: data)
            #expect(config == network.config)
            let other = try FeatureNetwork(config)
            try other.load(network.state())
            let inputs = [try Tensor([Int64(3), 4, 1, 0, 0, 0], shape: [1, 6]), try values([1])]
            let results = try (
                network(inputs, .inference())[0].array(of: Float.self),
                other(inputs, .inference())[0].array(of: Float.self)
            )
            #expect(results.0 == results.1)
        }
    }
}
