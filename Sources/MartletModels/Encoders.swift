import MartletNN
import MartletTensor
import MartletWire

// B batch, C channels, D width

/// Turns one input into a vector [B, width], or a sequence of vectors [B, T, width].
protocol Encoder: Module {
    var width: Int { get }
    /// One row's result.
    var outputShape: [Int] { get }
    /// In a user's words.
    var kind: String { get }
    /// Multiplications with a parameter for one row.
    var multiplyAdds: Int { get }
    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor
}

extension Encoder {
    var outputShape: [Int] { [width] }
    var multiplyAdds: Int { parameterCount }
}

func makeEncoder(_ input: NetworkConfig.Input) throws -> any Encoder {
    switch (input.type, input.encoder.type) {
    case (.text, _), (.sequence, _): try TokenEncoder(input)
    case (.category, .embedding): try CategoryEmbedding(input)
    case (.image, .cnn): try ImageConvolution(input)
    default: try DenseEncoder(input)
    }
}

/// The input as a flat vector (categories one-hot, images as values from 0 to 1), through dense layers if there are any.
final class DenseEncoder: Encoder {
    private let input: NetworkConfig.Input
    private let layers: DenseStack

    init(_ input: NetworkConfig.Input) throws {
        self.input = input
        let flat = input.type == .category ? input.categoryCount : input.shape.reduce(1, *)
        let encoder = input.encoder
        layers = try DenseStack(
            flat, encoder.type == .dense ? encoder.widths : [], activation: encoder.activation,
            dropout: encoder.dropout,
            bias: encoder.bias)
    }

    var width: Int { layers.width }
    var kind: String { input.encoder.type == .dense ? "dense" : input.type == .category ? "one-hot" : "as it is" }
    var renames: [String: String] { ["layers": ""] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        var x = x
        if input.type == .category {
            x = try x.oneHot(input.categoryCount).to(.float32)
        } else {
            x = try scaledImage(x)
            if x.rank != 2 { x = try x.reshape([x.size(0), -1]) }
        }
        return try layers(x, forward)
    }
}

/// uint8 pixels become 0…1; anything else is a tensor of the right scale already.
private func scaledImage(_ x: Tensor) throws -> Tensor {
    x.scalarType == .uint8 ? try x.to(.float32).mul(1.0 / 255.0) : x
}

/// A learned vector for each category.
final class CategoryEmbedding: Encoder {
    private let table: Embedding
    let width: Int

    init(_ input: NetworkConfig.Input) throws {
        width = input.encoder.embeddingSize
        table = try Embedding(input.categoryCount, width)
    }

    var kind: String { "embedding" }
    var renames: [String: String] { ["table": ""] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor { try table(x, forward) }
}

/// Convolutions over an image, each with norm, activation and pooling, then flattened.
final class ImageConvolution: Encoder {
    private let convolutions: [Conv2d]
    private let norms: [any Layer]
    private let pools: [Int]
    private let poolLayers: [MaxPool2d]
    private let encoder: EncoderConfig
    let width: Int
    let multiplyAdds: Int

    init(_ input: NetworkConfig.Input) throws {
        encoder = input.encoder
        guard input.shape.count == 3 else {
            throw MartletError(.invalidRecipe, "inputs.\(input.name): an image has the shape [channels, height, width]")
        }
        try Self.check(encoder, input.name)
        var channels = input.shape[0]
        var size = [input.shape[1], input.shape[2]]
        var convolutions: [Conv2d] = []
        var norms: [any Layer] = []
        var pools: [Int] = []
        var multiplyAdds = 0
        func setting(_ list: [Int], _ index: Int) -> Int { list.count == 1 ? list[0] : list[index] }
        for (index, next) in encoder.channels.enumerated() {
            let (kernel, padding) = (setting(encoder.kernel, index), setting(encoder.padding, index))
            let (stride, pool) = (setting(encoder.stride, index), setting(encoder.pool, index))
            convolutions.append(
                try Conv2d(channels, next, kernel: kernel, stride: stride, padding: padding, bias: encoder.bias))
            switch encoder.norm {
            case .none: break
            case .batch: norms.append(try BatchNorm2d(next))
            case .group: norms.append(try GroupNorm(next % 8 == 0 ? 8 : 1, next))
            case .layer: norms.append(try GroupNorm(1, next))
            }
            pools.append(pool)
            size = size.map { $0 + 2 * padding < kernel ? 0 : ($0 + 2 * padding - kernel) / stride + 1 }
            multiplyAdds += size.reduce(channels * kernel * kernel * next, *)
            size = size.map { $0 / pool }
            guard size.allSatisfy({ $0 > 0 }) else {
                throw MartletError(
                    .invalidRecipe,
                    "inputs.\(input.name).encoder: convolution \(index + 1) leaves nothing of a "
                        + "\(input.shape[1])×\(input.shape[2]) image; use a smaller kernel or pool, or more padding")
            }
            channels = next
        }
        self.convolutions = convolutions
        self.norms = norms
        self.pools = pools
        poolLayers = pools.map { MaxPool2d($0) }
        width = size.reduce(channels, *)
        self.multiplyAdds = multiplyAdds
    }

    /// A configuration may come from a file that no recipe's check has seen.
    private static func check(_ encoder: EncoderConfig, _ name: String) throws {
        let count = encoder.channels.count
        guard count > 0, encoder.channels.allSatisfy({ (1...65_536).contains($0) }) else {
            throw MartletError(
                .invalidRecipe,
                "inputs.\(name).encoder.channels is \(encoder.channels); give 1 to 65,536 for each convolution")
        }
        let lists = [
            ("kernel", encoder.kernel, 1), ("stride", encoder.stride, 1), ("pool", encoder.pool, 1),
            ("padding", encoder.padding, 0),
        ]
        for (setting, list, least) in lists {
            guard list.count == 1 || list.count == count, list.allSatisfy({ (least...255).contains($0) }) else {
                throw MartletError(
                    .invalidRecipe,
                    "inputs.\(name).encoder.\(setting) is \(list); give one number of \(least) to 255, or one for each of "
                        + "the \(count) convolutions")
            }
        }
    }

    var kind: String { "cnn \(encoder.channels.map(String.init).joined(separator: "-"))" }

    var children: [(String, Any)] { [("convolutions", convolutions), ("norms", norms)] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        var x_BCHW = try scaledImage(x)
        // Channels last, convolutions take and give what their kernels work on: half the time of a small batch. Training
        // stays with the layout that its own pooling kernel reads.
        if !forward.training { x_BCHW = try x_BCHW.contiguous(.channelsLast) }
        for (index, convolution) in convolutions.enumerated() {
            x_BCHW = try convolution(x_BCHW, forward)
            if !norms.isEmpty { x_BCHW = try norms[index](x_BCHW, forward) }
            // The maximum of activations is the activation of the maximum where it does not fall, and pooling first
            // leaves the activation a quarter of the work.
            let poolsFirst = pools[index] > 1 && encoder.activation.isMonotonic
            if !poolsFirst { x_BCHW = try encoder.activation(x_BCHW) }
            if pools[index] > 1 { x_BCHW = try poolLayers[index](x_BCHW, forward) }
            if poolsFirst { x_BCHW = try encoder.activation(x_BCHW) }
        }
        let flat = try x_BCHW.flatten()
        return try forward.dropout(flat, encoder.dropout)
    }
}
