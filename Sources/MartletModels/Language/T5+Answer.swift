import MartletNN
import MartletTensor
import MartletWire

// N tokens of all answers of a pass side by side, S tokens of a source, T of an answer, D width, H heads, K head size

extension T5 {
    /// What the decoder reads of one source, computed once for all of its answers.
    public final class Source {
        /// Keys and values [1, H, S, K] for each of the decoder's layers.
        fileprivate let layers: [(keys: Tensor, values: Tensor)]

        fileprivate init(_ layers: [(keys: Tensor, values: Tensor)]) { self.layers = layers }
    }

    /// The keys and values of one answer's tokens.
    public final class Answer {
        public let source: Source
        /// Tokens that it holds.
        public fileprivate(set) var count = 0
        /// [1, H, room, K] for each layer.
        private var layers: [(keys: Tensor, values: Tensor)?]
        private static let step = 64

        public init(_ source: Source) {
            self.source = source
            layers = source.layers.map { _ in nil }
        }

        /// Forgets all tokens but the first ones.
        public func cut(to count: Int) { self.count = min(self.count, max(0, count)) }

        /// Puts those of new tokens [1, H, T, K] behind the others.
        fileprivate func add(_ layer: Int, _ new: [Tensor]) throws -> (keys: Tensor, values: Tensor) {
            guard new.count == 2 else { throw MartletError(.internal, "a decoder's layer gave no keys and values") }
            let total = count + new[0].size(2)
            var (keys, values) = try layers[layer] ?? (Self.room(like: new[0], 0), Self.room(like: new[1], 0))
            if keys.size(2) < total {
                keys = try Tensor.cat([keys, Self.room(like: new[0], total - keys.size(2))], axis: 2)
                values = try Tensor.cat([values, Self.room(like: new[1], total - values.size(2))], axis: 2)
            }
            layers[layer] = (keys, values)
            try keys.narrow(2, from: count, length: total - count).copy_(new[0])
            try values.narrow(2, from: count, length: total - count).copy_(new[1])
            return (try keys.narrow(2, from: 0, length: total), try values.narrow(2, from: 0, length: total))
        }

        private static func room(like tensor: Tensor, _ count: Int) throws -> Tensor {
            let length = (count + step - 1) / step * step
            return try Tensor.empty(
                [1, tensor.size(1), length, tensor.size(3)], type: tensor.scalarType, device: tensor.device)
        }
    }

    /// Encodes a source of one token at least.
    /// - Parameter betweenLayers: called as each layer of the encoder begins; a long source takes a while.
    public func source(_ tokens: [Int32], betweenLayers: () -> Void = {}) throws -> Source {
        let forward = Forward.inference()
        let tokens_1S = try Tensor(tokens.map(Int64.init), shape: [1, tokens.count])
        let hidden_SD = try encode(tokens_1S, betweenLayers: betweenLayers, forward).select(0, 0)
        return Source(
            try decoder.block.map { block in
                guard block.layer.count == 3, let attention = block.layer[1].attention else {
                    throw MartletError(.internal, "a decoder's block does not attend to the source")
                }
                return try attention.memory(of: hidden_SD, forward)
            })
    }

    /// Goes on with answers, each with some tokens, the first of all being `startToken`.
    /// - Parameter betweenLayers: called as each layer of the decoder begins.
    /// - Returns: the hidden states [N, D] of all new tokens, for `logits`. An answer's do not hang on the others.
    public func hidden(
        _ parts: [(tokens: [Int32], answer: Answer)], betweenLayers: () -> Void = {}
    ) throws -> Tensor {
        let forward = Forward.inference()
        let lengths = parts.map(\.tokens.count)
        var x_ND = try shared(Tensor(parts.flatMap { $0.tokens.map(Int64.init) }), forward)
        var biases: [Tensor?] = parts.map { _ in nil }
        for (number, block) in decoder.block.enumerated() {
            betweenLayers()
            for (text, part) in parts.enumerated() {
                if let own = try bias(block, part.tokens.count, behind: part.answer.count, x_ND.device) {
                    biases[text] = own
                }
            }
            for (place, layer) in block.layer.enumerated() {
                let y_ND = try layer.layer_norm(x_ND, forward)
                if let attention = layer.attention {
                    let isOwn = place == 0
                    let result = try attention(
                        y_ND, lengths: lengths, biases: isOwn ? biases : biases.map { _ in nil }, forward
                    ) { text, new in
                        let answer = parts[text].answer
                        return try isOwn ? answer.add(number, new) : answer.source.layers[number]
                    }
                    x_ND = try x_ND.add(result)
                } else if let feedForward = layer.feedForward {
                    x_ND = try x_ND.add(feedForward(y_ND, 0, forward))
                }
            }
        }
        for (tokens, answer) in parts { answer.count += tokens.count }
        return try decoder.final_layer_norm(x_ND, forward)
    }

    /// A block's own biases [1, H, T, S] for tokens behind others of an answer, none of which sees what comes after it.
    private func bias(_ block: Block, _ count: Int, behind known: Int, _ device: Device) throws -> Tensor? {
        let total = known + count
        let bias = try block.bias(known..<total, keys: total, device)
        guard let bias, count > 1 else { return bias }
        let seen = try Tensor.ones([count, total], type: .bool, device: device).tril(known)
        return try bias.maskedFill(seen.logicalNot(), -.infinity)
    }
}
