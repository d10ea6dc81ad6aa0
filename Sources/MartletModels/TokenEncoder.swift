import MartletNN
import MartletTensor
import MartletWire

// B batch, T tokens, D width

/// Token ids [B, T], 0 for padding, to a vector: embedded, then averaged, convolved, or run through a recurrent net or a
/// Transformer. With `reduce: none` the result stays a sequence.
final class TokenEncoder: Encoder {
    private let embedding: Embedding
    private let body: any SequenceBody
    private let encoder: EncoderConfig
    private let tokenCount: Int
    private let reduction: EncoderConfig.Reduction

    init(_ input: NetworkConfig.Input) throws {
        encoder = input.encoder
        tokenCount = input.shape.first ?? 0
        embedding = try Embedding(input.categoryCount, encoder.embeddingSize, padding: 0)
        body = try makeSequenceBody(encoder, tokens: tokenCount)
        let usual: EncoderConfig.Reduction =
            switch encoder.type {
            case .rnn, .lstm, .gru: encoder.bidirectional ? .max : .last
            case .cnn: .max
            default: .mean
            }
        reduction = encoder.reduce ?? usual
    }

    private var isBothWays: Bool { encoder.bidirectional && [.rnn, .lstm, .gru].contains(encoder.type) }

    var width: Int { body.width }
    var outputShape: [Int] { reduction == .none ? [tokenCount, width] : [width] }
    var multiplyAdds: Int { body.parameterCount * tokenCount }
    var kind: String { "embedding + \(encoder.type.rawValue)" }
    var children: [(String, Any)] { [("embedding", embedding), ("body", body)] }

    func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        let embedded_BTD = try embedding(x, forward)
        let mask_BT = try x.ne(0)
        let encoded_BTD = try forward.dropout(body(embedded_BTD, mask_BT, forward), encoder.dropout)
        return try reduce(encoded_BTD, mask_BT)
    }

    private func reduce(_ x_BTD: Tensor, _ mask_BT: Tensor) throws -> Tensor {
        switch reduction {
        case .none: return x_BTD
        case .mean:
            let weights_BT1 = try mask_BT.to(x_BTD.scalarType).unsqueeze(-1)
            let count_B1 = try weights_BT1.sum([1]).clamp(min: 1)
            return try x_BTD.mul(weights_BT1).sum([1]).div(count_B1)
        case .max:
            let hidden_BT1 = try mask_BT.logicalNot().unsqueeze(-1)
            let highest_BD = try x_BTD.maskedFill(hidden_BT1, -1e9).max([1])
            // An empty text has no token to take a maximum of.
            let isEmpty_B1 = try mask_BT.to(.int64).sum([1]).eq(0).unsqueeze(-1)
            return try highest_BD.maskedFill(isEmpty_B1, 0)
        case .last:
            let last_B = try mask_BT.to(.int64).sum([1]).sub(1).clamp(min: 0).to(.int64)
            func last(_ x_BTD: Tensor) throws -> Tensor {
                let index_B1D = try last_B.reshape([-1, 1, 1]).expand([-1, 1, x_BTD.size(2)])
                return try x_BTD.gather(1, index_B1D).squeeze(1)
            }
            guard isBothWays else { return try last(x_BTD) }
            // The pass from the end is over at the first token; at the last one it has seen nothing else.
            let half = x_BTD.size(2) / 2
            let forward_BD = try last(x_BTD.narrow(2, from: 0, length: half))
            return try Tensor.cat([forward_BD, x_BTD.narrow(2, from: half, length: half).select(1, 0)], axis: -1)
        }
    }
}

/// What happens between embedding and reduction: [B, T, D] → [B, T, width].
protocol SequenceBody: Module {
    var width: Int { get }
    /// `mask_BT` is true where there is a token.
    func callAsFunction(_ x_BTD: Tensor, _ mask_BT: Tensor, _ forward: Forward) throws -> Tensor
}

private func makeSequenceBody(_ encoder: EncoderConfig, tokens: Int) throws -> any SequenceBody {
    switch encoder.type {
    case .cnn: try TokenConvolution(encoder)
    case .rnn, .lstm, .gru: try TokenRecurrence(encoder)
    case .transformer: try TokenTransformer(encoder, tokens: tokens)
    default: TokenIdentity(width: encoder.embeddingSize)
    }
}

final class TokenIdentity: SequenceBody {
    let width: Int
    init(width: Int) { self.width = width }
    var children: [(String, Any)] { [] }
    func callAsFunction(_ x_BTD: Tensor, _ mask_BT: Tensor, _ forward: Forward) throws -> Tensor { x_BTD }
}

/// Convolutions along the tokens, padded so that the length stays.
final class TokenConvolution: SequenceBody {
    private let convolutions: [Conv1d]
    private let activation: Activation
    let width: Int

    init(_ encoder: EncoderConfig) throws {
        var last = encoder.embeddingSize
        var convolutions: [Conv1d] = []
        for (index, channels) in encoder.channels.enumerated() {
            guard encoder.kernel.count == 1 || encoder.kernel.count == encoder.channels.count else {
                throw MartletError(
                    .invalidRecipe,
                    "kernel is \(encoder.kernel); give one number, or one for each of the \(encoder.channels.count) channels"
                )
            }
            let kernel = encoder.kernel.count == 1 ? encoder.kernel[0] : encoder.kernel[index]
            guard kernel > 0, kernel % 2 == 1 else {
                throw MartletError(
                    .invalidRecipe, "kernel: \(kernel) is even; over tokens it must be odd to keep their places")
            }
            convolutions.append(try Conv1d(last, channels, kernel: kernel, padding: kernel / 2))
            last = channels
        }
        self.convolutions = convolutions
        activation = encoder.activation
        width = last
    }

    var children: [(String, Any)] { [("convolutions", convolutions)] }

    func callAsFunction(_ x_BTD: Tensor, _ mask_BT: Tensor, _ forward: Forward) throws -> Tensor {
        var x_BDT = try x_BTD.transpose(1, 2)
        // Padding's vector is 0, but what a convolution makes of it is not, and the next one would see that.
        let mask_B1T = try convolutions.count > 1 ? mask_BT.to(x_BTD.scalarType).unsqueeze(1) : nil
        for (index, convolution) in convolutions.enumerated() {
            if index > 0, let mask_B1T { x_BDT = try x_BDT.mul(mask_B1T) }
            x_BDT = try activation(convolution(x_BDT, forward))
        }
        return try x_BDT.transpose(1, 2)
    }
}
