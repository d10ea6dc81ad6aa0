import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width, H heads, G heads of keys and values, K head size

/// One layer of a decoder: [N, D] → [N, D].
protocol DecoderBlock: Module {
    var linearGroups: [LinearGroup] { get }
    func callAsFunction(
        _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
    ) throws -> Tensor
}

/// The part of a block that looks from token to token: [N, D] → [N, D].
protocol AttentionPart: Module {
    var linearGroups: [LinearGroup] { get }
    /// - Parameter residual: [N, D], what the result is added to.
    func callAsFunction(
        _ x: Tensor, adding residual: Tensor?, _ angles: RotaryAngles, _ attention: any TokenAttention,
        _ forward: Forward
    ) throws -> Tensor
}

/// The part of a block that looks at one token at a time: [N, D] → [N, D].
protocol FeedForward: Module {
    var linearGroups: [LinearGroup] { get }
    /// - Parameter residual: [N, D], what the result is added to.
    func callAsFunction(_ x: Tensor, adding residual: Tensor?, _ forward: Forward) throws -> Tensor
}

/// Attention with rotary positions and grouped heads, with the names that most of Hugging Face's decoders use.
final class DecoderAttention: AttentionPart {
    let q_proj: Linear
    let k_proj: Linear
    let v_proj: Linear
    let o_proj: Linear
    let q_norm: (any Layer)?
    let k_norm: (any Layer)?
    private let layer: Int
    private let headSize: Int
    private let groups: Int
    private let options: AttentionOptions
    private let input: LinearGroup
    private let output: LinearGroup

    /// - Parameter headNorm: the norm of each head's queries and keys, where the config asks for one.
    init(
        _ config: DecoderConfig, layer: Int,
        headNorm: (DecoderConfig) throws -> any Layer = { try RMSNorm($0.headSize, epsilon: $0.normEpsilon) }
    ) throws {
        let (width, size, std) = (config.width, config.headSize, config.initializerRange)
        let (queries, keys) = (try wide(config.headCount, size), try wide(config.keyValueHeadCount, size))
        q_proj = try Linear(width, queries, bias: config.hasInputBias, std: std)
        k_proj = try Linear(width, keys, bias: config.hasInputBias, std: std)
        v_proj = try Linear(width, keys, bias: config.hasInputBias, std: std)
        o_proj = try Linear(queries, width, bias: config.hasOutputBias, std: std)
        q_norm = config.hasHeadNorms ? try headNorm(config) : nil
        k_norm = config.hasHeadNorms ? try headNorm(config) : nil
        self.layer = layer
        headSize = size
        groups = config.keyValueHeadCount
        options = config.attention[layer]
        input = LinearGroup(q_proj, k_proj, v_proj)
        output = LinearGroup(o_proj)
    }

    var linearGroups: [LinearGroup] { [input, output] }

    func callAsFunction(
        _ x: Tensor, adding residual: Tensor?, _ angles: RotaryAngles, _ attention: any TokenAttention,
        _ forward: Forward
    ) throws -> Tensor {
        let y_NHK = try attend(x, angles, attention, forward)
        return try output(y_NHK.flatten(), after: nil, adding: residual, forward)
    }

    private func attend(
        _ x: Tensor, _ angles: RotaryAngles, _ attention: any TokenAttention, _ forward: Forward
    ) throws -> Tensor {
        if q_norm == nil, k_norm == nil, let joined = try input.joined(x) {
            return try attention.attend(
                layer: layer, joined: joined.reshape([joined.size(0), -1, headSize]), groups: groups,
                rotatedBy: angles, options)
        }
        let qkv = try input(x, forward).map { try $0.reshape([$0.size(0), -1, headSize]) }
        let (q_NHK, k_NGK) = (try q_norm?(qkv[0], forward) ?? qkv[0], try k_norm?(qkv[1], forward) ?? qkv[1])
        return try attention.attend(layer: layer, angles(q_NHK), angles(k_NGK), qkv[2], options)
    }
}

/// `down(act(gate(x))·up(x))` (Shazeer, 2020).
final class GatedMLP: FeedForward {
    let gate_proj: Linear
    let up_proj: Linear
    let down_proj: Linear
    let renames: [String: String]
    private let activation: Activation
    private let input: LinearGroup
    private let output: LinearGroup

    init(
        _ width: Int, _ inner: Int, _ activation: Activation, bias: Bool = false, std: Double,
        renames: [String: String] = [:]
    ) throws {
        gate_proj = try Linear(width, inner, bias: bias, std: std)
        up_proj = try Linear(width, inner, bias: bias, std: std)
        down_proj = try Linear(inner, width, bias: bias, std: std)
        self.activation = activation
        self.renames = renames
        input = LinearGroup(gate_proj, up_proj)
        output = LinearGroup(down_proj)
    }

    convenience init(_ config: DecoderConfig) throws {
        try self.init(
            config.width, config.feedforward, config.activation, bias: config.hasFeedforwardBias,
            std: config.initializerRange)
    }

    var linearGroups: [LinearGroup] { [input, output] }

    func callAsFunction(_ x: Tensor, adding residual: Tensor?, _ forward: Forward) throws -> Tensor {
        let parts = try input(x, forward)
        let gated = try activation == .silu ? parts[0].siluGated(up: parts[1]) : nil
        return try output(
            gated ?? activation(parts[0]).mul(parts[1]), after: nil, adding: residual, forward)
    }
}

/// count · size, or an error where that is too large to count.
func wide(_ count: Int, _ size: Int) throws -> Int {
    let (product, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, product <= ModelConfig.sizeLimit else {
        throw MartletError(.invalidData, "\(count) times \(size) dimensions are too many to compute with")
    }
    return product
}
