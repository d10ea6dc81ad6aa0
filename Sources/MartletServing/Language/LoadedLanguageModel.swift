import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

/// A language model in memory, its weights packed and its cache made. Lives on the compute thread.
public final class LoadedLanguageModel {
    public struct Options: Sendable {
        /// nil chooses by what the CPU does well.
        public var format: WeightFormat?
        /// Bytes of keys and values; 0 chooses by the model and the machine.
        public var cacheBytes = 0
        /// Bytes of adapters' matrices; 0 is a quarter of the model's weights in float32, and 256 MiB at least.
        public var adapterBytes = 0
        /// Most adapters in memory.
        public var adapterCount = 64
        public var limits = LanguageScheduler.Limits()
        /// How a text's hidden states become one vector.
        public var pooling = TextEncoder.Pooling.mean
        public init() {}
    }

    public let geometry: LanguageGeometry
    public let format: WeightFormat
    /// The largest difference of a logit from float32's over a few tokens, where the format is not exact.
    public private(set) var logitError: Double?
    /// Bytes of the weights as they lie in memory.
    public let weightBytes: Int
    /// Bytes that the cache of keys and values can grow to.
    public let cacheBytes: Int
    /// Most tokens of a prompt and its answer that the cache holds.
    public let contextLength: Int
    /// The adapters that requests name.
    public let adapters: AdapterLibrary
    /// How a text's hidden states become one vector.
    public var pooling: TextEncoder.Pooling { engine.pooling }
    let engine: LanguageEngine
    let pageCount: Int

    /// Packs a model's weights and makes its cache. The model's own weights are gone then.
    /// - Parameters:
    ///   - deferred: weights that are still in their files, and are read when they are packed.
    ///   - vocabulary: asked for once the weights are packed.
    public init(
        _ model: any LanguageModel, deferred: DeferredWeights? = nil,
        vocabulary: @autoclosure () throws -> TokenVocabulary,
        options: Options = Options()
    ) throws {
        geometry = model.geometry
        let sites = AdapterSites(model)
        let denseBytes = model.parameters().reduce(0) { $0 + $1.parameter.value.count * 4 }
        let shared = model.sharedParameters()
        adapters = AdapterLibrary(
            sites,
            bounds: .init(
                bytes: options.adapterBytes > 0 ? options.adapterBytes : max(256 << 20, denseBytes / 4),
                count: options.adapterCount))
        if let deferred {
            (format, logitError) = try Self.pack(model, deferred, options.format)
        } else {
            (format, logitError) = try Self.pack(model, options.format)
        }
        // A weight that is an embedding too stays as it was beside its packed form.
        weightBytes = model.linearGroups.flatMap(\.layers).reduce(denseBytes) { [format] sum, layer in
            let isShared = shared.contains(ObjectIdentifier(layer.weight))
            let count = layer.weight.value.count
            return sum + (format == .dense ? 0 : count * (format == .half ? 2 : 4) - (isShared ? 0 : count * 4))
        }
        let page = PagedAttention.pageBytes(geometry, type: format.cacheType)
        let pages = Self.pageCount(geometry, page, options)
        cacheBytes = pages * page
        pageCount = pages
        contextLength = min(geometry.contextLength, pages * CachePages.size)
        let pass = try LanguagePass(model, Self.adapt(model), pageCount: pages, cache: format.cacheType)
        engine = try LanguageEngine(
            pass, vocabulary: vocabulary(), pooling: options.pooling, limits: options.limits, pageCount: pages)
    }

    /// Lets adapters add to the products of every group but those of experts.
    private static func adapt(_ model: any LanguageModel) -> AdapterPass {
        let pass = AdapterPass()
        for (number, group) in model.linearGroups.enumerated() where !group.isRouted {
            let base =
                group.packed
                ?? SeparateWeights(weights: group.layers.map { DenseWeight($0.weight.value, bias: $0.bias?.value) })
            group.packed = AdaptedWeight(base: base, group: number, pass: pass)
        }
        return pass
    }

    private static func pageCount(_ geometry: LanguageGeometry, _ page: Int, _ options: Options) -> Int {
        let context = CachePages.count(for: geometry.contextLength)
        guard options.cacheBytes == 0 else { return max(1, options.cacheBytes / page) }
        let wanted = context * options.limits.sequences
        let affordable = Int(ProcessInfo.processInfo.physicalMemory / 8) / page
        return max(1, min(wanted, affordable))
    }

    /// Packs from the files, in the format asked for or in the best that this CPU and these weights take.
    private static func pack(
        _ model: any LanguageModel, _ deferred: DeferredWeights, _ asked: WeightFormat?
    ) throws -> (format: WeightFormat, logitError: Double?) {
        func packed(_ format: WeightFormat) throws -> (format: WeightFormat, logitError: Double?) {
            let exact = try WeightPacking.pack(model, deferred, format, threads: Torch.threadCount) {
                format == .half ? try probe(model) : nil
            }
            return (format, try exact.map { try error(model, format, exact: $0) })
        }
        if let asked { return try packed(asked) }
        for format in [WeightFormat.half, .packed] {
            if let found = try? packed(format) { return found }
        }
        return try packed(.dense)
    }

    /// The largest difference of a logit from the exact ones, with the cache's rounding.
    private static func error(_ model: any LanguageModel, _ format: WeightFormat, exact: Tensor) throws -> Double {
        let cache = try PagedAttention(model.geometry, pageCount: 1, type: format.cacheType)
        let tokens = probeTokens(model).map(Int32.init)
        try cache.begin([
            .init(id: .init(request: 0, choice: 0), tokens: tokens, start: 0, pages: [0], samples: true)
        ])
        let error = try exact.sub(probe(model, cache)).abs().max().item()
        guard error < 1e9 else {
            throw MartletError(.invalidData, "the model's results are not finite in \(format.rawValue)")
        }
        return error
    }

    /// Packs in the format asked for, or in the best that this CPU and these weights take.
    private static func pack(
        _ model: any LanguageModel, _ asked: WeightFormat?
    ) throws -> (format: WeightFormat, logitError: Double?) {
        let shared = model.sharedParameters()
        let groups = model.linearGroups
        let exact = try probe(model)
        let format = try groups.pack(asked)
        let logitError = format == .half ? try error(model, format, exact: exact) : nil
        if format != .dense {
            for group in groups { try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) } }
        }
        return (format, logitError)
    }

    /// The logits of a few tokens from all over the vocabulary.
    private static func probe(_ model: any LanguageModel, _ cache: PagedAttention? = nil) throws -> Tensor {
        try Tensor.inference {
            let tokens = probeTokens(model)
            let attention: any TokenAttention = try cache ?? SequenceAttention(lengths: [tokens.count])
            let hidden_ND = try model.hidden(Tensor(tokens), attention, .inference())
            return try model.logits(hidden_ND, .inference())
        }
    }

    private static func probeTokens(_ model: any LanguageModel) -> [Int64] {
        // All of them in one page of the cache.
        (0..<min(8, model.geometry.contextLength)).map { Int64($0 * 7919 % max(1, model.geometry.vocabularyCount)) }
    }
}

extension WeightFormat {
    /// How keys and values are kept beside weights of this format.
    var cacheType: ScalarType { self == .half ? .float16 : .float32 }
}
