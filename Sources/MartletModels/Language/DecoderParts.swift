import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width, H heads, G heads of keys and values, K head size, F feedforward width

/// Attention with rotary positions and grouped heads, with the names that most of Hugging Face's decoders use.
final class DecoderAttention: Module {
    let q_proj: Linear
    let k_proj: Linear
    let v_proj: Linear
    let o_proj: Linear
    let q_norm: RMSNorm?
    let k_norm: RMSNorm?
    private let layer: Int
    private let headSize: Int
    private let options: AttentionOptions
    let input: LinearGroup
    let output: LinearGroup

    init(_ config: DecoderConfig, layer: Int) throws {
        let (width, size) = (config.width, config.headSize)
        let (queries, keys) = (try wide(config.headCount, size), try wide(config.keyValueHeadCount, size))
        q_proj = try Linear(width, queries, bias: config.hasInputBias, std: config.initializerRange)
        k_proj = try Linear(width, keys, bias: config.hasInputBias, std: config.initializerRange)
        v_proj = try Linear(width, keys, bias: config.hasInputBias, std: config.initializerRange)
        o_proj = try Linear(queries, width, bias: config.hasOutputBias, std: config.initializerRange)
        q_norm = config.hasHeadNorms ? try RMSNorm(size, epsilon: config.normEpsilon) : nil
        k_norm = config.hasHeadNorms ? try RMSNorm(size, epsilon: config.normEpsilon) : nil
        self.layer = layer
        headSize = size
        options = config.attention[layer]
        input = LinearGroup(q_proj, k_proj, v_proj)
        output = LinearGroup(o_proj)
    }

    /// x [N, D] → [N, D].
    func callAsFunction(
        _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
    ) throws -> Tensor {
        let qkv = try input(x, forward).map { try $0.reshape([$0.size(0), -1, headSize]) }
        let (q_NHK, k_NGK) = (try q_norm?(qkv[0], forward) ?? qkv[0], try k_norm?(qkv[1], forward) ?? qkv[1])
        let y_NHK = try attention.attend(layer: layer, angles(q_NHK), angles(k_NGK), qkv[2], options)
        return try output(y_NHK.flatten(), forward)[0]
    }
}

/// `down(act(gate(x))·up(x))` (Shazeer, 2020).
final class GatedMLP: FeedForward {
    let gate_proj: Linear
    let up_proj: Linear
    let down_proj: Linear
    private let activation: Activation
    private let input: LinearGroup
    private let output: LinearGroup

    init(_ width: Int, _ inner: Int, _ activation: Activation, bias: Bool = false, std: Double) throws {
        gate_proj = try Linear(width, inner, bias: bias, std: std)
        up_proj = try Linear(width, inner, bias: bias, std: std)
        down_proj = try Linear(inner, width, bias: bias, std: std)
        self.activation = activation
        input = LinearGroup(gate_proj, up_proj)
        output = LinearGroup(down_proj)
    }

    var linearGroups: [LinearGroup] { [input, output] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        let parts = try input(x, forward)
        return try output(activation(parts[0]).mul(parts[1]), forward)[0]
    }
}

/// The part of a block that looks at one token at a time: [N, D] → [N, D].
protocol FeedForward: Layer {
    var linearGroups: [LinearGroup] { get }
}

/// count · size, or an error where that is too large to count.
func wide(_ count: Int, _ size: Int) throws -> Int {
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, product <= ModelConfig.sizeLimit else {
        throw MartletError(.invalidData, "\(count) heads of \(size) dimensions are too many to compute with")
    }
    return product
}
