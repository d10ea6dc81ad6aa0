import CKernels
import MartletModels
import MartletNN
import MartletTensor

// N tokens of all sequences side by side, H heads, G heads of keys and values, K head size

/// Attention over a paged cache: each pass takes some tokens of some sequences, whose earlier keys and values lie in the
/// pages that their rows name.
///
/// The kernel is our own, computes in float32, and is split over heads and tiles of queries on libtorch's threads. A page
/// holds 16 tokens, keys with the tokens innermost so that a vector of scores needs no sum across. Keys and values are
/// kept in float32 or rounded to 16 bits: what is read for each token is half as much then.
public final class PagedAttention: TokenAttention {
    public private(set) var positions: Tensor
    private let geometry: LanguageGeometry
    /// For each layer keys [pages, G, K, 16] and values [pages, G, 16, K rounded up to 16].
    private let layers: [(keys: Tensor, values: Tensor)]
    private let pageCount: Int
    private let isHalf: Bool
    /// What the kernel may use of the CPU: a test walks all of them on one.
    package var instructions = PanelWeight.Instructions.all
    private var chunks: [ck_chunk] = []
    private var blocks: [Int32] = []
    private var tokenCount = 0

    /// - Parameter type: of keys and values in the cache, float32 or float16.
    /// - Throws: `TensorError` where the head size is over 512, the type is another, or the memory cannot be had.
    public init(_ geometry: LanguageGeometry, pageCount: Int, type: ScalarType = .float32) throws {
        guard type == .float32 || type == .float16 else {
            throw TensorError(.type, "a cache of keys and values is in float32 or float16, not in \(type)")
        }
        guard geometry.headSize >= 1, geometry.headSize <= Int(CK_HEAD_LIMIT) else {
            throw TensorError(
                .value, "heads of \(geometry.headSize) numbers are over the \(CK_HEAD_LIMIT) that the cache takes")
        }
        guard pageCount > 0, pageCount <= Int(Int32.max) else {
            throw TensorError(.value, "a cache of \(pageCount) pages is not possible; give it more memory")
        }
        self.geometry = geometry
        self.pageCount = pageCount
        isHalf = type == .float16
        let (groups, size) = (geometry.keyValueHeadCount, geometry.headSize)
        layers = try (0..<geometry.layerCount).map { _ in
            let keys = try Tensor.empty([pageCount, groups, size, CachePages.size], type: type)
            let values = try Tensor.empty([pageCount, groups, CachePages.size, Self.padded(size)], type: type)
            for tensor in [keys, values] { try tensor.withUnsafeMutableBytes { LargePages.use($0) } }
            return (keys, values)
        }
        positions = try Tensor.zeros([0], type: .int64)
    }

    private static func padded(_ size: Int) -> Int { (size + 15) / 16 * 16 }

    /// Bytes that one page takes over all layers.
    public static func pageBytes(_ geometry: LanguageGeometry, type: ScalarType = .float32) -> Int {
        let numbers = geometry.headSize + padded(geometry.headSize)
        return geometry.layerCount * geometry.keyValueHeadCount * CachePages.size * numbers * type.size
    }

    /// Sets the sequences of the next pass: its tokens are theirs, in this order.
    /// - Throws: `TensorError` where a row has too few pages or one that does not exist.
    public func begin(_ rows: [LanguageScheduler.Row]) throws {
        var places: [Int64] = []
        chunks.removeAll(keepingCapacity: true)
        blocks.removeAll(keepingCapacity: true)
        for row in rows {
            let count = row.tokens.count
            guard count > 0, row.start >= 0, CachePages.count(for: row.start + count) <= row.pages.count,
                row.pages.allSatisfy({ $0 >= 0 && $0 < pageCount })
            else {
                throw TensorError(.value, "\(count) tokens from \(row.start) do not fit \(row.pages.count) pages")
            }
            chunks.append(
                ck_chunk(
                    pages: Int64(blocks.count), row: Int32(places.count), count: Int32(count), start: Int32(row.start)))
            blocks.append(contentsOf: row.pages)
            for place in row.start..<row.start + count { places.append(Int64(place)) }
        }
        tokenCount = places.count
        positions = try Tensor(places)
    }

    public func attend(
        layer: Int, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ options: AttentionOptions
    ) throws -> Tensor {
        let (heads, groups, size) = (geometry.headCount, geometry.keyValueHeadCount, geometry.headSize)
        guard q.shape == [tokenCount, heads, size], k.shape == [tokenCount, groups, size], v.shape == k.shape,
            layers.indices.contains(layer), heads % groups == 0
        else {
            throw TensorError(
                .value,
                "layer \(layer) with queries \(q.shape), keys \(k.shape) and values \(v.shape) is not that of "
                    + "\(tokenCount) tokens, \(heads) and \(groups) heads of \(size)")
        }
        if let window = options.window, window < 1 {
            throw TensorError(.value, "a window of \(window) tokens sees nothing")
        }
        return try q.withRows(of: Float.self) { q, qStride in
            try k.withRows(of: Float.self) { k, kStride in
                try v.withRows(of: Float.self) { v, vStride in
                    try attend(layer, (q, qStride), (k, kStride), (v, vStride), options)
                }
            }
        }
    }

    public func attend(
        layer: Int, joined qkv: Tensor, groups: Int, rotatedBy angles: RotaryAngles?, _ options: AttentionOptions
    ) throws -> Tensor {
        let (heads, size) = (geometry.headCount, geometry.headSize)
        guard qkv.shape == [tokenCount, heads + 2 * groups, size], groups == geometry.keyValueHeadCount,
            layers.indices.contains(layer), options.window ?? 1 >= 1,
            try angles.map({ try qkv.rotate(heads: heads + groups, cos: $0.cos, sin: $0.sin) }) ?? true
        else { return try attend(layer: layer, parts: qkv, groups: groups, rotatedBy: angles, options) }
        return try qkv.withRows(of: Float.self) { q, stride in
            let k = q + heads * size
            return try attend(layer, (q, stride), (k, stride), (k + groups * size, stride), options)
        }
    }

    private typealias Rows = (numbers: UnsafePointer<Float>, stride: Int)

    private func attend(_ layer: Int, _ q: Rows, _ k: Rows, _ v: Rows, _ options: AttentionOptions) throws -> Tensor {
        let output = try Tensor.empty([tokenCount, geometry.headCount, geometry.headSize])
        guard tokenCount > 0 else { return output }
        let (keys, values) = layers[layer]
        try keys.withUnsafeMutableBytes { keys in
            try values.withUnsafeMutableBytes { values in
                try output.withUnsafeMutableBytes { output in
                    var attention = ck_attention()
                    (attention.q, attention.q_stride) = (q.numbers, Int64(q.stride))
                    (attention.k, attention.k_stride) = (k.numbers, Int64(k.stride))
                    (attention.v, attention.v_stride) = (v.numbers, Int64(v.stride))
                    attention.output = output.bindMemory(to: Float.self).baseAddress
                    attention.keys = keys.baseAddress
                    attention.values = values.baseAddress
                    attention.is_half = isHalf ? 1 : 0
                    attention.cpu = Int32(instructions.rawValue)
                    attention.scale = Float(options.scale ?? 1 / Double(geometry.headSize).squareRoot())
                    attention.window = Int32(clamping: options.window ?? 0)
                    attention.softcap = Float(options.softcap ?? 0)
                    run(&attention)
                }
            }
        }
        return output
    }

    private func run(_ attention: inout ck_attention) {
        attention.heads = Int32(geometry.headCount)
        attention.groups = Int32(geometry.keyValueHeadCount)
        attention.size = Int32(geometry.headSize)
        chunks.withUnsafeBufferPointer { chunks in
            blocks.withUnsafeBufferPointer { blocks in
                attention.chunks = chunks.baseAddress
                attention.chunk_count = Int32(chunks.count)
                attention.blocks = blocks.baseAddress
                let groups = Int(attention.groups)
                Torch.parallel(groups, grain: tokenCount < 32 ? groups : 1, ck_attention_write, &attention)
                let items = Int(ck_attention_items(&attention))
                // Work of a few µs is done before a second thread, which waits between two products, has begun.
                let products = self.chunks.reduce(0) { $0 + Int($1.count) * Int($1.start + $1.count) }
                let isSmall = products * Int(attention.heads * attention.size) < 50_000
                Torch.parallel(items, turns: isSmall ? items : 1, ck_attention_run, &attention)
            }
        }
    }
}
