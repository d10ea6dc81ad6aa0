import MartletNN
import MartletTensor
import MartletWire

// N tokens, D width, H heads, G heads of keys and values, K head size

/// Phi-3 and Phi-4 (Microsoft, 2024): Llama with one layer for queries, keys and values, and one for gate and up.
enum Phi3 {
    static func make(_ config: ModelConfig) throws -> any LanguageModel {
        var decoder = try DecoderConfig(
            config, epsilon: 1e-5, rotary: RotaryDefaults(context: 4096, original: 4096))
        decoder.slide(try config.window(nil))
        return try CausalDecoder(
            decoder, attention: { try FusedAttention(decoder, layer: $0) },
            mlp: { _ in ("mlp", try FusedMLP(decoder)) })
    }

    final class FusedAttention: AttentionPart {
        let qkv_proj: Linear
        let o_proj: Linear
        private let layer: Int
        private let headSize: Int
        private let groups: Int
        private let options: AttentionOptions
        private let input: LinearGroup
        private let output: LinearGroup

        init(_ config: DecoderConfig, layer: Int) throws {
            groups = config.keyValueHeadCount
            let (outputs, std) = (
                try wide(config.headCount + 2 * groups, config.headSize), config.initializerRange
            )
            qkv_proj = try Linear(config.width, outputs, bias: false, std: std)
            o_proj = try Linear(wide(config.headCount, config.headSize), config.width, bias: false, std: std)
            self.layer = layer
            headSize = config.headSize
            options = config.attention[layer]
            input = LinearGroup(qkv_proj)
            output = LinearGroup(o_proj)
        }

        var linearGroups: [LinearGroup] { [input, output] }

        func callAsFunction(
            _ x: Tensor, adding residual: Tensor?, _ angles: RotaryAngles, _ attention: any TokenAttention,
            _ forward: Forward
        ) throws -> Tensor {
            let qkv = try input(x, forward)[0].reshape([x.size(0), -1, headSize])
            let y_NHK = try attention.attend(layer: layer, joined: qkv, groups: groups, rotatedBy: angles, options)
            return try output(y_NHK.flatten(), after: nil, adding: residual, forward)
        }
    }

    final class FusedMLP: FeedForward {
        let gate_up_proj: Linear
        let down_proj: Linear
        private let activation: Activation
        private let input: LinearGroup
        private let output: LinearGroup

        init(_ config: DecoderConfig) throws {
            let std = config.initializerRange
            gate_up_proj = try Linear(config.width, wide(2, config.feedforward), bias: false, std: std)
            down_proj = try Linear(config.feedforward, config.width, bias: false, std: std)
            activation = config.activation
            input = LinearGroup(gate_up_proj)
            output = LinearGroup(down_proj)
        }

        var linearGroups: [LinearGroup] { [input, output] }

        func callAsFunction(_ x: Tensor, adding residual: Tensor?, _ forward: Forward) throws -> Tensor {
            let parts = try input(x, forward)[0].chunk(2, axis: -1)
            return try output(activation(parts[0]).mul(parts[1]), after: nil, adding: residual, forward)
        }
    }
}
