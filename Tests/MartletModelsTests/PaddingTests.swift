import MartletModels
import MartletNN
import MartletTensor
import MartletWire
import Testing

/// Padding says nothing: a text's result is the same however many empty places stand behind it.
@Suite struct PaddingTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var encoder: EncoderConfig
        var testDescription: String { name }
    }

    static let cases: [Case] =
        [
            Case(name: "embedding, mean", encoder: encoder(.embedding)),
            Case(name: "embedding, max", encoder: encoder(.embedding) { $0.reduce = .max }),
            Case(name: "embedding, last", encoder: encoder(.embedding) { $0.reduce = .last }),
            Case(name: "cnn of one layer", encoder: encoder(.cnn) { $0.channels = [5] }),
            Case(
                name: "cnn of three layers",
                encoder: encoder(.cnn) {
                    $0.channels = [5, 6, 7]; $0.activation = .gelu
                }),
            Case(
                name: "cnn, mean",
                encoder: encoder(.cnn) {
                    $0.channels = [5, 6]; $0.reduce = .mean
                }),
            Case(name: "transformer", encoder: encoder(.transformer) { $0.layers = 2 }),
        ]
        + [EncoderConfig.Kind.rnn, .lstm, .gru].flatMap { kind in
            [
                Case(name: "\(kind), last", encoder: encoder(kind)),
                Case(
                    name: "\(kind) of two layers, mean",
                    encoder: encoder(kind) {
                        $0.layers = 2; $0.reduce = .mean
                    }),
                Case(name: "\(kind) both ways, max", encoder: encoder(kind) { $0.bidirectional = true }),
                Case(
                    name: "\(kind) both ways of two layers, last",
                    encoder: encoder(kind) {
                        $0.bidirectional = true; $0.layers = 2; $0.reduce = .last
                    }),
            ]
        }

    private static let texts: [[Int64]] = [[3, 9, 4, 1], [2], [5, 5, 6, 7, 8], []]

    private static func batch(_ texts: [[Int64]], tokens: Int) throws -> Tensor {
        try Tensor(
            texts.flatMap { $0 + [Int64](repeating: 0, count: tokens - $0.count) }, shape: [texts.count, tokens])
    }

    /// The network with room for `tokens`, with weights that do not depend on it.
    private static func network(_ encoder: EncoderConfig, tokens: Int) throws -> FeatureNetwork {
        let network = try MartletModelsTests.network([.text("x", tokens, 11, encoder)])
        let state = network.state()
        try network.load(
            state.map { name, tensor in
                // Positions are drawn for all places together; the first places must be the same ones.
                guard name.hasSuffix("position.weight") else { return (name, tensor) }
                return (name, try values([12, 8]).narrow(0, from: 0, length: tokens))
            })
        return network
    }

    @Test(arguments: cases)
    func `more padding changes nothing`(item: Case) throws {
        try onCompute {
            let short = try Self.network(item.encoder, tokens: 6)
            let long = try Self.network(item.encoder, tokens: 12)
            let a = try short([Self.batch(Self.texts, tokens: 6)], .inference())[0].array(of: Float.self)
            let b = try long([Self.batch(Self.texts, tokens: 12)], .inference())[0].array(of: Float.self)
            for (index, (a, b)) in zip(a, b).enumerated() {
                #expect(a.isFinite && abs(a - b) <= 1e-6, "text \(index / 3): \(a) and \(b)")
            }
        }
    }

    @Test(arguments: cases)
    func `a text alone gives what it gives among others`(item: Case) throws {
        try onCompute {
            let network = try Self.network(item.encoder, tokens: 6)
            let together = try network([Self.batch(Self.texts, tokens: 6)], .inference())[0].array(of: Float.self)
            for (row, text) in Self.texts.enumerated() {
                let alone = try network([Self.batch([text], tokens: 6)], .inference())[0].array(of: Float.self)
                for (a, b) in zip(alone, together[row * 3..<row * 3 + 3]) { #expect(abs(a - b) <= 1e-6, "text \(row)") }
            }
        }
    }
}
