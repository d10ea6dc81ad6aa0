import MartletTensor
import MartletWire

// R rows, T tokens of a row, N = R·T tokens, H heads, G heads of keys and values, K head size

extension Op {
    /// Short causal sequences of float32 on the CPU.
    static let sequenceAttention = Op("martlet::sequence_attention")
    static let joinedAttention = Op("martlet::joined_attention")
}

/// Whole sequences at once, with no cache: for training and for measuring. Gradients pass through.
///
/// Rows that are shorter than the others are padded at their end: causal attention never looks there.
public final class SequenceAttention: TokenAttention {
    public let positions: Tensor
    private let lengths: [Int]
    private let isCausal: Bool
    private let dropout: Double
    private let forward: Forward
    /// By length and window, true where a query sees a key.
    private var masks: [MaskKey: Tensor] = [:]

    private struct MaskKey: Hashable {
        var length: Int
        var window: Int
    }

    /// `rows` sequences of `length` tokens each, one after another.
    /// - Parameters:
    ///   - causal: false lets every token see all of its sequence, as an encoder does.
    ///   - dropout: of the attention's probabilities, where `forward` trains.
    public convenience init(
        rows: Int, length: Int, causal: Bool = true, dropout: Double = 0, _ forward: Forward = .inference(),
        device: Device = .cpu
    ) throws {
        guard rows > 0 else { throw TensorError(.value, "attention takes at least one sequence, not \(rows)") }
        try self.init(
            lengths: Array(repeating: length, count: rows), causal: causal, dropout: dropout, forward, device: device)
    }

    /// Sequences of these lengths one after another, with no padding between them.
    public init(
        lengths: [Int], causal: Bool = true, dropout: Double = 0, _ forward: Forward = .inference(),
        device: Device = .cpu
    ) throws {
        guard !lengths.isEmpty, lengths.allSatisfy({ $0 > 0 }) else {
            throw TensorError(.value, "attention takes sequences of at least one token, not of \(lengths.prefix(8))")
        }
        self.lengths = lengths
        isCausal = causal
        self.dropout = dropout
        self.forward = forward
        let places = try Set(lengths).reduce(into: [Int: Tensor]()) {
            $0[$1] = try Tensor.arange(to: Double($1), type: .int64, device: device)
        }
        positions = try Tensor.cat(lengths.compactMap { places[$0] })
    }

    public func attend(
        layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions
    ) throws -> Tensor {
        let count = positions.count
        guard q.rank == 3, q.size(0) == count, k.size(0) == count, k.size(1) > 0, q.size(1) % k.size(1) == 0 else {
            throw TensorError(
                .value, "queries of shape \(q.shape) and keys of \(k.shape) are not those of \(count) tokens")
        }
        if isShort(q, options) {
            return try Op.sequenceAttention.tensor(
                .tensor(q), .tensor(k), .tensor(v), .ints(lengths),
                .double(options.scale ?? 1 / Double(q.size(2)).squareRoot()))
        }
        if lengths.allSatisfy({ $0 == lengths[0] }) {
            return try rows(q, k, v, lengths.count, lengths[0], options)
        }
        let (qs, ks, vs) = (try q.split(lengths), try k.split(lengths), try v.split(lengths))
        return try Tensor.cat(
            lengths.indices.map { try rows(qs[$0], ks[$0], vs[$0], 1, lengths[$0], options) })
    }

    public func attend(
        layer: Int, joined qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor {
        guard angles == nil, qkv.rank == 3, qkv.size(0) == positions.count, groups > 0, isShort(qkv, options) else {
            return try attend(layer: layer, parts: qkv, groups: groups, rotatedBy: angles, options)
        }
        return try Op.joinedAttention.tensor(
            .tensor(qkv), .int(groups), .ints(lengths),
            .double(options.scale ?? 1 / Double(qkv.size(2)).squareRoot()))
    }

    /// Whether our own kernel takes it: it holds all scores of a sequence at once.
    private func isShort(_ q: Tensor, _ options: AttentionOptions) -> Bool {
        let longest = lengths.max() ?? 0
        return isCausal && longest <= 512 && q.size(2) % 16 == 0 && q.scalarType == .float32 && q.device == .cpu
            && options.softcap == nil && (options.window.map { $0 >= longest } ?? true)
            && !(forward.training && dropout > 0)
    }

    /// Sequences of one length: [R·T, H, K] → [R·T, H, K].
    private func rows(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ rows: Int, _ length: Int, _ options: AttentionOptions
    ) throws -> Tensor {
        let split = { (x: Tensor) in try x.reshape([rows, length, x.size(1), x.size(2)]).transpose(1, 2) }
        let (q_RHTK, groups) = (try split(q), q.size(1) / k.size(1))
        var (k_RHTK, v_RHTK) = (try split(k), try split(v))
        if groups > 1 {
            k_RHTK = try spread(k_RHTK, groups)
            v_RHTK = try spread(v_RHTK, groups)
        }
        let mask = try mask(length, options.window)
        let y_RHTK =
            if let cap = options.softcap {
                try capped(q_RHTK, k_RHTK, v_RHTK, cap, mask, options)
            } else {
                try Attention.scaledDotProduct(
                    q_RHTK, k_RHTK, v_RHTK, mask: mask, causal: isCausal && mask == nil, scale: options.scale,
                    dropout: dropout, forward)
            }
        return try y_RHTK.transpose(1, 2).reshape([rows * length, q.size(1), v.size(2)])
    }

    /// Each head of keys as often as queries share it: [R, G, T, K] → [R, H, T, K].
    private func spread(_ x: Tensor, _ groups: Int) throws -> Tensor {
        let shape = x.shape
        return try x.unsqueeze(2).expand([shape[0], shape[1], groups, shape[2], shape[3]])
            .reshape([shape[0], shape[1] * groups, shape[2], shape[3]])
    }

    private func capped(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ cap: Double, _ mask: Tensor?, _ options: AttentionOptions
    ) throws -> Tensor {
        let scale = options.scale ?? 1 / Double(q.size(-1)).squareRoot()
        var scores = try q.matmul(k.transpose()).mul(scale / cap).tanh().mul(cap)
        let length = q.size(-2)
        let allowed = try mask ?? (isCausal ? Attention.causalMask(length, length, q.device) : nil)
        if let allowed { scores = try scores.maskedFill(allowed.logicalNot(), -.infinity) }
        return try forward.dropout(scores.softmax(), dropout).matmul(v)
    }

    /// Which keys a window leaves; nil where it leaves all that causality does.
    private func mask(_ length: Int, _ window: Int?) throws -> Tensor? {
        guard let window, window < length else { return nil }
        guard window > 0 else { throw TensorError(.value, "a window of \(window) tokens sees nothing") }
        let key = MaskKey(length: length, window: window)
        if let known = masks[key] { return known }
        var mask = try Tensor.ones([length, length], type: .bool, device: positions.device).triu(1 - window)
        mask = try isCausal ? mask.tril() : mask.tril(window - 1)
        masks[key] = mask
        return mask
    }
}
