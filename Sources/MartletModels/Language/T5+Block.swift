import Foundation
import MartletNN
import MartletTensor
import MartletWire

// R texts, T tokens, S tokens that are attended to, D width, H heads, K head size

extension T5 {
    /// Attention without a scale; the first of a stack, or each, has biases by distance.
    final class AttentionLayer: Module {
        let q: Linear
        let k: Linear
        let v: Linear
        let o: Linear
        let relative_attention_bias: Embedding?
        /// What has one input: the queries, keys and values of a text that attends to itself; else the queries alone.
        private let asking: LinearGroup
        /// Keys and values of a source.
        private let told: LinearGroup?
        private let output: LinearGroup
        private let heads: Int

        init(_ config: Config, hasBias: Bool, readsSource: Bool) throws {
            let inner = try wide(config.headCount, config.headSize)
            q = try Linear(config.width, inner, bias: false, std: config.std)
            k = try Linear(config.width, inner, bias: false, std: config.std)
            v = try Linear(config.width, inner, bias: false, std: config.std)
            o = try Linear(inner, config.width, bias: false, std: config.std)
            relative_attention_bias =
                hasBias ? try Embedding(config.bucketCount, config.headCount, std: config.std) : nil
            heads = config.headCount
            asking = readsSource ? LinearGroup(q) : LinearGroup(q, k, v)
            told = readsSource ? LinearGroup(k, v) : nil
            output = LinearGroup(o)
        }

        var linearGroups: [LinearGroup] { [asking, told, output].compactMap { $0 } }

        func callAsFunction(
            _ x: Tensor, _ memory: Tensor?, _ bias: Tensor?, _ dropout: Double, _ forward: Forward
        ) throws -> Tensor {
            let parts = try (asking(x, forward) + sources(memory, forward)).map { y in
                try y.reshape([y.size(0), y.size(1), heads, -1]).transpose(1, 2)
            }
            let y_RHTK = try Attention.scaledDotProduct(
                parts[0], parts[1], parts[2], mask: bias, scale: 1, dropout: dropout, forward)
            return try output(y_RHTK.transpose(1, 2).flatten(from: 2), forward)[0]
        }

        /// The layer's keys and values of a source; none where it attends to its own text.
        private func sources(_ memory: Tensor?, _ forward: Forward) throws -> [Tensor] {
            guard let told else { return [] }
            guard let memory else { throw MartletError(.internal, "a decoder's layer has no source to attend to") }
            return try told(memory, forward)
        }

        /// The same of one source [S, D]: keys and values [1, H, S, K].
        func memory(of source: Tensor, _ forward: Forward) throws -> (keys: Tensor, values: Tensor) {
            let parts = try sources(source, forward).map { try split($0).contiguous() }
            return (parts[0], parts[1])
        }

        /// Tokens of several texts side by side, [N, D] → [N, D].
        /// - Parameter attended: the keys and values that the text of this number attends to, given its own new ones
        ///   [1, H, T, K] where the layer has them.
        func callAsFunction(
            _ x: Tensor, lengths: [Int], biases: [Tensor?], _ forward: Forward,
            attended: (_ text: Int, _ new: [Tensor]) throws -> (keys: Tensor, values: Tensor)
        ) throws -> Tensor {
            let parts = try asking(x, forward).map { try $0.split(lengths) }
            let texts = try lengths.indices.map { text in
                let (keys, values) = try attended(text, parts.dropFirst().map { try split($0[text]) })
                let y_1HTK = try Attention.scaledDotProduct(
                    split(parts[0][text]), keys, values, mask: biases[text], scale: 1, forward)
                return try y_1HTK.select(0, 0).transpose(0, 1).flatten(from: 1)
            }
            return try output(Tensor.cat(texts), forward)[0]
        }

        /// [T, H·K] → [1, H, T, K].
        private func split(_ y: Tensor) throws -> Tensor {
            try y.reshape([1, y.size(0), heads, -1]).transpose(1, 2)
        }
    }

    /// A norm, then a part whose result is added.
    final class Layer: Module {
        let attention: AttentionLayer?
        let feedForward: FeedForwardLayer?
        let layer_norm: RMSNorm
        let renames: [String: String]

        init(_ config: Config, _ attention: AttentionLayer?, named name: String) throws {
            self.attention = attention
            feedForward = attention == nil ? try FeedForwardLayer(config) : nil
            layer_norm = try RMSNorm(config.width, epsilon: config.epsilon)
            renames = ["attention": name, "feedForward": name]
        }

        var linearGroups: [LinearGroup] { (attention?.linearGroups ?? []) + (feedForward?.linearGroups ?? []) }
    }

    final class FeedForwardLayer: Module {
        let wi: Linear?
        let wi_0: Linear?
        let wi_1: Linear?
        let wo: Linear
        private let inner: LinearGroup
        private let outer: LinearGroup
        private let activation: Activation

        init(_ config: Config) throws {
            let make = { try Linear(config.width, config.inner, bias: false, std: config.std) }
            let (first, second) = (try make(), config.isGated ? try make() : nil)
            wi = second == nil ? first : nil
            wi_0 = second == nil ? nil : first
            wi_1 = second
            wo = try Linear(config.inner, config.width, bias: false, std: config.std)
            inner = second.map { LinearGroup(first, $0) } ?? LinearGroup(first)
            outer = LinearGroup(wo)
            activation = config.activation
        }

        var linearGroups: [LinearGroup] { [inner, outer] }

        func callAsFunction(_ x: Tensor, _ dropout: Double, _ forward: Forward) throws -> Tensor {
            let parts = try inner(x, forward)
            var y = try activation(parts[0])
            if parts.count > 1 { y = try y.mul(parts[1]) }
            return try outer(forward.dropout(y, dropout), forward)[0]
        }
    }

    final class Block: Module {
        let layer: [Layer]
        private let isDecoder: Bool
        private let buckets: Int
        private let maxDistance: Int
        private let dropout: Double

        init(_ config: Config, hasBias: Bool, isDecoder: Bool) throws {
            let own = try AttentionLayer(config, hasBias: hasBias, readsSource: false)
            var parts = [try Layer(config, own, named: "SelfAttention")]
            if isDecoder {
                parts.append(
                    try Layer(
                        config, AttentionLayer(config, hasBias: false, readsSource: true), named: "EncDecAttention"))
            }
            parts.append(try Layer(config, nil, named: "DenseReluDense"))
            layer = parts
            self.isDecoder = isDecoder
            buckets = config.bucketCount
            maxDistance = config.maxDistance
            dropout = config.dropout
        }

        /// - Parameters:
        ///   - bias: added to the scores of the block's own tokens.
        ///   - cross: added to those of the memory.
        func callAsFunction(
            _ x: Tensor, _ bias: Tensor?, _ memory: Tensor?, _ cross: Tensor?, _ forward: Forward
        ) throws -> Tensor {
            var x = x
            for (index, part) in layer.enumerated() {
                let y = try part.layer_norm(x, forward)
                if let attention = part.attention {
                    let (source, mask) = index == 0 ? (nil, bias) : (memory, cross)
                    x = try x.add(
                        forward.dropout(attention(y, source, mask, dropout, forward), dropout))
                } else if let feedForward = part.feedForward {
                    x = try x.add(forward.dropout(feedForward(y, dropout, forward), dropout))
                }
            }
            return x
        }

        /// [1, H, T, S]: what each head adds for the distance of each of the first S places from some places; nil where
        /// the block goes by those of the one before.
        func bias(_ queries: Range<Int>, keys: Int, _ device: Device) throws -> Tensor? {
            guard let table = layer.first?.attention?.relative_attention_bias else { return nil }
            let first = 1 - queries.upperBound
            let buckets = (first..<keys - queries.lowerBound).map(bucket)
            var numbers: [Int] = []
            numbers.reserveCapacity(queries.count * keys)
            for query in queries { numbers += buckets[-query - first..<keys - query - first] }
            let index = try Tensor(numbers, shape: [queries.count, keys], device: device)
            return try table(index, .inference()).permute([2, 0, 1]).unsqueeze(0)
        }

        /// Half of the buckets are for single distances, the others for ranges that grow.
        private func bucket(_ distance: Int) -> Int {
            let (count, start) = isDecoder ? (buckets, 0) : (buckets / 2, distance > 0 ? buckets / 2 : 0)
            let length = isDecoder ? max(0, -distance) : abs(distance)
            let exact = count / 2
            guard length >= exact else { return start + length }
            let share =
                logf(Float(length) / Float(exact)) / Float(log(Double(maxDistance) / Double(exact)))
                * Float(count - exact)
            return start + min(exact + Int(share), count - 1)
        }
    }
}
