import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// The one thread of these tests on which tensors live.
private let compute = ComputeThread()

func onCompute<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
    try compute.run {
        try Torch.setDeterministic(true)
        try Torch.setThreadCount(1)
        return try body()
    }
}

extension NetworkConfig.Input {
    static func number(_ name: String, _ encoder: EncoderConfig = EncoderConfig()) -> Self {
        Self(name: name, type: .number, shape: [], encoder: encoder)
    }

    static func vector(_ name: String, _ length: Int, _ encoder: EncoderConfig = EncoderConfig()) -> Self {
        Self(name: name, type: .vector, shape: [length], encoder: encoder)
    }

    static func category(_ name: String, _ count: Int, _ encoder: EncoderConfig = EncoderConfig()) -> Self {
        Self(name: name, type: .category, shape: [], categoryCount: count, encoder: encoder)
    }

    static func image(_ name: String, _ shape: [Int], _ encoder: EncoderConfig) -> Self {
        Self(name: name, type: .image, shape: shape, encoder: encoder)
    }

    static func text(_ name: String, _ tokens: Int, _ words: Int, _ encoder: EncoderConfig) -> Self {
        Self(name: name, type: .text, shape: [tokens], categoryCount: words, encoder: encoder)
    }
}

func encoder(_ type: EncoderConfig.Kind, _ change: (inout EncoderConfig) -> Void = { _ in }) -> EncoderConfig {
    var config = EncoderConfig(type: type)
    config.embeddingSize = 8
    config.hidden = 6
    config.heads = 2
    change(&config)
    return config
}

/// A network of these inputs with one category of three labels, first weights drawn.
func network(
    _ inputs: [NetworkConfig.Input], outputs: [NetworkConfig.Output] = [.init(name: "label", type: .category, size: 3)],
    layers: [Int] = []
) throws -> FeatureNetwork {
    var combiner = CombinerConfig()
    combiner.layers = layers
    let network = try FeatureNetwork(NetworkConfig(inputs: inputs, outputs: outputs, combiner: combiner))
    try network.initialize(seed: 4)
    return network
}

/// Repeatable values between -1 and 1.
func values(_ shape: [Int], from start: Int = 0) throws -> Tensor {
    try Tensor((0..<shape.reduce(1, *)).map { Float(sin(Double($0 + start) * 1.7 + 0.3)) }, shape: shape)
}
