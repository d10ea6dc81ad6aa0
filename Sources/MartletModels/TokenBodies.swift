import MartletNN
import MartletTensor
import MartletWire

// B batch, T tokens, D width

/// An RNN, LSTM or GRU over the tokens.
final class TokenRecurrence: SequenceBody {
    private let recurrent: Recurrent
    private let isBidirectional: Bool
    let width: Int

    init(_ encoder: EncoderConfig) throws {
        let (inputs, hidden) = (encoder.embeddingSize, encoder.hidden)
        isBidirectional = encoder.bidirectional
        recurrent =
            switch encoder.type {
            case .lstm:
                try LSTM(
                    inputs, hidden, layers: encoder.layers, bidirectional: isBidirectional, dropout: encoder.dropout)
            case .gru:
                try GRU(
                    inputs, hidden, layers: encoder.layers, bidirectional: isBidirectional, dropout: encoder.dropout)
            default:
                try RNN(
                    inputs, hidden, layers: encoder.layers, nonlinearity: encoder.activation == .relu ? .relu : .tanh,
                    bidirectional: isBidirectional, dropout: encoder.dropout)
            }
        width = hidden * (isBidirectional ? 2 : 1)
    }

    var children: [(String, Any)] { [("recurrent", recurrent)] }
    var renames: [String: String] { ["recurrent": ""] }

    func callAsFunction(_ x_BTD: Tensor, _ mask_BT: Tensor, _ forward: Forward) throws -> Tensor {
        // Padding stands at the end, so only a pass from the end sees it before the tokens.
        guard isBidirectional else { return try recurrent(x_BTD, forward) }
        let lengths = try mask_BT.to(.int64).sum([1]).clamp(min: 1).array(of: Int64.self).map { Int($0) }
        return try recurrent(x_BTD, state: nil, lengths: lengths, forward).output
    }
}

/// A Transformer encoder with learned positions.
final class TokenTransformer: SequenceBody {
    private let position: LearnedPosition
    private let encoder: TransformerEncoder
    let width: Int

    init(_ config: EncoderConfig, tokens: Int) throws {
        width = config.embeddingSize
        position = try LearnedPosition(tokens, width)
        encoder = try TransformerEncoder(
            TransformerConfig(
                width: width, headCount: config.heads, feedforward: config.hidden, dropout: config.dropout,
                activation: config.activation, normFirst: true),
            layerCount: config.layers)
    }

    var children: [(String, Any)] { [("position", position), ("encoder", encoder)] }

    func callAsFunction(_ x_BTD: Tensor, _ mask_BT: Tensor, _ forward: Forward) throws -> Tensor {
        try encoder(position(x_BTD, forward), keyMask: visible(mask_BT), forward)
    }

    /// A row without tokens would attend to nothing and give no numbers; its first place stays visible.
    private func visible(_ mask_BT: Tensor) throws -> Tensor {
        let first_T = try Tensor.arange(to: Double(mask_BT.size(1)), device: mask_BT.device).eq(0)
        return try mask_BT.logicalOr(first_T)
    }
}
