import Foundation
import MartletNN
import MartletTensor
import MartletWire

// R texts, T tokens, S tokens that are attended to, D width, H heads, K head size

extension T5 {
    /// Attention without a scale; the first of a stack has the biases by distance.
    final class AttentionLayer: Module {
        let q: Linear
        let k: Linear
        let v: Linear
        let o: Linear
        let relative_attention_bias: Embedding?
        private let heads: Int

        init(_ config: Config, hasBias: Bool) throws {
            let inner = try wide(config.headCount, config.headSize)
            q = try Linear(config.width, inner, bias: false, std: config.std)
            k = try Linear(config.width, inner, bias: false, std: config.std)
            v = try Linear(config.width, inner, bias: false, std: config.std)
            o = try Linear(inner, config.width, bias: false, std: config.std)
            relative_attention_bias =
                hasBias ? try Embedding(config.bucketCount, config.headCount, std: config.std) : nil
            heads = config.headCount
        }

        func callAsFunction(
            _ x: Tensor, _ memory: Tensor?, _ bias: Tensor?, _ dropout: Double, _ forward: Forward
        ) throws -> Tensor {
            let split = { [heads] (y: Tensor) in try y.reshape([y.size(0), y.size(1), heads, -1]).transpose(1, 2) }
            let source = memory ?? x
            let y_RHTK = try Attention.scaledDotProduct(
                split(q(x, forward)), split(k(source, forward)), split(v(source, forward)), mask: bias, scale: 1,
                dropout: dropout, forward)
            return try o(y_RHTK.transpose(1, 2).flatten(from: 2), forward)
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
    }

    final class FeedForwardLayer: Module {
        let wi: Linear?
        let wi_0: Linear?
        let wi_1: Linear?
        let wo: Linear
        private let activation: Activation

        init(_ config: Config) throws {
            let make = { try Linear(config.width, config.inner, bias: false, std: config.std) }
            wi = config.isGated ? nil : try make()
            wi_0 = config.isGated ? try make() : nil
            wi_1 = config.isGated ? try make() : nil
            wo = try Linear(config.inner, config.width, bias: false, std: config.std)
            activation = config.activation
        }

        func callAsFunction(_ x: Tensor, _ dropout: Double, _ forward: Forward) throws -> Tensor {
            var y = x
            if let wi { y = try activation(wi(x, forward)) }
            if let wi_0, let wi_1 { y = try activation(wi_0(x, forward)).mul(wi_1(x, forward)) }
            return try wo(forward.dropout(y, dropout), forward)
        }
    }

    final class Block: Module {
        let layer: [Layer]
        private let isDecoder: Bool
        private let buckets: Int
        private let maxDistance: Int
        private let dropout: Double

        init(_ config: Config, isFirst: Bool, isDecoder: Bool) throws {
            var parts = [try Layer(config, AttentionLayer(config, hasBias: isFirst), named: "SelfAttention")]
            if isDecoder {
                parts.append(try Layer(config, AttentionLayer(config, hasBias: false), named: "EncDecAttention"))
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
            _ x: Tensor, _ bias: Tensor, _ memory: Tensor?, _ cross: Tensor?, _ forward: Forward
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

        /// [1, H, T, T]: what each head adds for each distance.
        func bias(_ length: Int, _ device: Device) throws -> Tensor {
            guard let table = layer.first?.attention?.relative_attention_bias else {
                throw MartletError(.internal, "the first block has no biases by distance")
            }
            var numbers = [Int](repeating: 0, count: length * length)
            for query in 0..<length {
                for key in 0..<length { numbers[query * length + key] = bucket(key - query) }
            }
            let index = try Tensor(numbers, shape: [length, length], device: device)
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
