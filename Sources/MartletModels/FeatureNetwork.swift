import MartletNN
import MartletTensor
import MartletWire

// B batch, T tokens, D width

/// The network of a recipe: an encoder for each input, a combiner, a decoder for each output.
///
/// Checkpoint names: `encoders.<input>.…`, `combiner.<n>.weight`, `decoders.<output>.weight`.
public final class FeatureNetwork: Module {
    public let config: NetworkConfig
    private let encoders: NamedModules<any Encoder>
    private let combiner: DenseStack
    private let decoders: NamedModules<Linear>

    /// Builds the network; parameters are zero until `initialize(seed:)` or `load`. Throws `invalidRecipe` where shapes
    /// do not fit.
    public init(_ config: NetworkConfig) throws {
        self.config = config
        encoders = NamedModules(try config.inputs.map { ($0.name, try makeEncoder($0)) })
        let width = encoders.modules.reduce(0) { $0 + $1.width }
        combiner = try DenseStack(
            width, config.combiner.layers, activation: config.combiner.activation, dropout: config.combiner.dropout,
            bias: config.combiner.bias)
        let combined = combiner.width
        decoders = NamedModules(try config.outputs.map { ($0.name, try Linear(combined, $0.size)) })
    }

    /// One tensor for each input, in the order of `config.inputs` → one for each output: category and boolean logits
    /// [B, classes] and [B], numbers [B], vectors [B, n], sequences [B, T, classes].
    public func callAsFunction(_ inputs: [Tensor], _ forward: Forward) throws -> [Tensor] {
        var encoded: [Tensor] = []
        encoded.reserveCapacity(inputs.count)
        for (encoder, input) in zip(encoders.modules, inputs) { encoded.append(try encoder(input, forward)) }
        let joined = encoded.count == 1 ? encoded[0] : try Tensor.cat(encoded, axis: -1)
        let combined = try combiner(joined, forward)
        var results: [Tensor] = []
        results.reserveCapacity(config.outputs.count)
        for (decoder, output) in zip(decoders.modules, config.outputs) {
            var result = try decoder(combined, then: output.activation, forward)
            switch output.type {
            case .number, .boolean: result = try result.squeeze(-1)
            default: break
            }
            results.append(result)
        }
        return results
    }

    /// Multiplications with a parameter for one row, about: what decides how many threads pay.
    public var multiplyAdds: Int {
        encoders.modules.reduce(0) { $0 + $1.multiplyAdds } + combiner.parameterCount + decoders.parameterCount
    }

    /// The parts with their kinds, shapes and counts, for `plan`.
    public var layerSummaries: [LayerSummary] {
        var summaries: [LayerSummary] = []
        for (name, encoder) in encoders.pairs {
            summaries.append(
                LayerSummary(
                    name: "encoders.\(name)", kind: encoder.kind, output: [-1] + encoder.outputShape,
                    parameterCount: encoder.parameterCount))
        }
        if !config.combiner.layers.isEmpty {
            for (index, width) in config.combiner.layers.enumerated() {
                summaries.append(
                    LayerSummary(
                        name: "combiner.\(index)", kind: "linear + \(config.combiner.activation.rawValue)",
                        output: [-1, width], parameterCount: combiner.layers[index].parameterCount))
            }
        }
        for (name, decoder) in decoders.pairs {
            let size = decoder.weight.value.size(0)
            summaries.append(
                LayerSummary(
                    name: "decoders.\(name)", kind: "linear", output: [-1, size], parameterCount: decoder.parameterCount
                ))
        }
        return summaries
    }
}

/// One line of `martlet plan`.
public struct LayerSummary: Codable, Sendable, Equatable {
    public var name: String
    public var kind: String
    /// -1 is the batch.
    public var output: [Int]
    public var parameterCount: Int

    public init(name: String, kind: String, output: [Int], parameterCount: Int) {
        self.name = name
        self.kind = kind
        self.output = output
        self.parameterCount = parameterCount
    }

    enum CodingKeys: String, CodingKey { case name, kind, output, parameterCount = "parameters" }
}

/// Modules under names of their own instead of property names.
final class NamedModules<Element>: Module {
    let pairs: [(String, Element)]
    let modules: [Element]

    init(_ pairs: [(String, Element)]) {
        self.pairs = pairs
        modules = pairs.map(\.1)
    }

    var children: [(String, Any)] { pairs.map { ($0.0, $0.1 as Any) } }
}

/// Dense layers, each followed by an activation and dropout. Checkpoint names: `<n>.weight`.
final class DenseStack: Module {
    let layers: [Linear]
    private let activation: Activation
    private let dropout: Double
    /// The last layer's width.
    let width: Int

    init(_ inputs: Int, _ widths: [Int], activation: Activation, dropout: Double, bias: Bool) throws {
        var layers: [Linear] = []
        var last = inputs
        for width in widths {
            layers.append(try Linear(last, width, bias: bias))
            last = width
        }
        self.layers = layers
        self.activation = activation
        self.dropout = dropout
        width = last
    }

    var renames: [String: String] { ["layers": ""] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        var x = x
        for layer in layers {
            x = try layer(x, then: activation, forward)
            x = try forward.dropout(x, dropout)
        }
        return x
    }
}
