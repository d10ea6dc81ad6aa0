import MartletTensor

// N tokens of a pass, H heads, G heads of keys and values, S = H/G, K head size, T tokens of a sequence so far

/// Attention over sequences that grow by a token a pass, whose earlier keys and values are kept: for drawing texts from a
/// model in training. Serving keeps them in pages.
///
/// The first pass takes all tokens that there are and computes as training does.
public final class GrowingAttention: TokenAttention {
    public private(set) var positions: Tensor
    /// The row of the pass's last token of each sequence.
    public private(set) var ends: [Int64]
    private var lengths: [Int]
    /// The first pass's.
    private var whole: SequenceAttention?
    /// By layer, for each sequence keys and values [T, G, K].
    private var kept: [Int: [(k: Tensor, v: Tensor)]] = [:]
    private let device: Device

    /// - Parameter lengths: the tokens of each sequence in the first pass.
    public init(lengths: [Int], device: Device = .cpu) throws {
        let whole = try SequenceAttention(lengths: lengths, device: device)
        self.whole = whole
        self.lengths = lengths
        self.device = device
        positions = whole.positions
        var end: Int64 = -1
        ends = lengths.map { length in
            end += Int64(length)
            return end
        }
    }

    /// The next pass takes one token of each of these sequences, named by their places in the pass before; the others end.
    public func goOn(_ sequences: [Int]) throws {
        guard sequences.allSatisfy({ lengths.indices.contains($0) }) else {
            throw TensorError(.value, "the pass before had \(lengths.count) sequences, not \(sequences)")
        }
        whole = nil
        lengths = sequences.map { lengths[$0] + 1 }
        kept = kept.mapValues { layer in sequences.map { layer[$0] } }
        ends = sequences.indices.map { Int64($0) }
        positions = try Tensor(lengths.map { Int64($0 - 1) }, shape: [lengths.count], device: device)
    }

    public func attend(
        layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions
    ) throws -> Tensor {
        if let whole {
            let y = try whole.attend(layer: layer, q, k, v, options)
            // A piece cut out of a wider tensor would keep all of it in memory.
            kept[layer] = try zip(k.split(lengths), v.split(lengths)).map { (try $0.clone(), try $1.clone()) }
            return y
        }
        guard var sequences = kept[layer], q.rank == 3, q.size(0) == lengths.count, k.size(0) == lengths.count,
            q.size(1) % max(1, k.size(1)) == 0
        else {
            throw TensorError(
                .value,
                "layer \(layer) with queries \(q.shape) and keys \(k.shape) is not that of \(lengths.count) tokens")
        }
        kept[layer] = nil
        var outputs: [Tensor] = []
        for row in lengths.indices {
            sequences[row].k = try Tensor.cat([sequences[row].k, k.narrow(0, from: row, length: 1)])
            sequences[row].v = try Tensor.cat([sequences[row].v, v.narrow(0, from: row, length: 1)])
            outputs.append(try last(q.select(0, row), sequences[row].k, sequences[row].v, options))
        }
        kept[layer] = sequences
        return try Tensor.stack(outputs)
    }

    /// One token's attention to all of its sequence: q [H, K], keys and values [T, G, K] → [H, K].
    private func last(_ q_HK: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions) throws -> Tensor {
        let (length, groups, size) = (k.size(0), k.size(1), k.size(2))
        let seen = min(length, options.window ?? length)
        guard seen > 0 else { throw TensorError(.value, "a window of \(seen) tokens sees nothing") }
        let part = { (x: Tensor) in try x.narrow(0, from: length - seen, length: seen).transpose(0, 1).unsqueeze(0) }
        let (k_1GTK, v_1GTK) = (try part(k), try part(v))
        let q_1GSK = try q_HK.reshape([1, groups, -1, size])
        guard let cap = options.softcap else {
            return try Attention.scaledDotProduct(q_1GSK, k_1GTK, v_1GTK, scale: options.scale, .inference())
                .reshape(q_HK.shape)
        }
        let scale = options.scale ?? 1 / Double(size).squareRoot()
        let scores = try q_1GSK.matmul(k_1GTK.transpose()).mul(scale / cap).tanh().mul(cap)
        return try scores.softmax().matmul(v_1GTK).reshape(q_HK.shape)
    }
}
