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
        public init() {}
    }

    public let geometry: LanguageGeometry
    public let format: WeightFormat
    /// The largest difference of a logit from float32's over a few tokens, where the format is not exact.
    public private(set) var logitError: Double?
    /// Bytes that the cache of keys and values can grow to.
    public let cacheBytes: Int
    /// Most tokens of a prompt and its answer that the cache holds.
    public let contextLength: Int
    /// The adapters that requests name.
    public let adapters: AdapterLibrary
    let engine: LanguageEngine
    let pageCount: Int

    /// Packs a model's weights and makes its cache. The model's own weights are gone then.
    public init(_ model: any LanguageModel, vocabulary: TokenVocabulary, options: Options = Options()) throws {
        geometry = model.geometry
        let page = PagedAttention.pageBytes(geometry)
        let pages = Self.pageCount(geometry, page, options)
        cacheBytes = pages * page
        pageCount = pages
        contextLength = min(geometry.contextLength, pages * CachePages.size)
        let sites = AdapterSites(model)
        let weightBytes = model.parameters().reduce(0) { $0 + $1.parameter.value.count * 4 }
        adapters = AdapterLibrary(
            sites,
            bounds: .init(
                bytes: options.adapterBytes > 0 ? options.adapterBytes : max(256 << 20, weightBytes / 4),
                count: options.adapterCount))
        (format, logitError) = try Self.pack(model, options.format)
        let pass = try LanguagePass(model, Self.adapt(model), pageCount: pages)
        engine = LanguageEngine(pass, vocabulary: vocabulary, limits: options.limits, pageCount: pages)
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

    /// Packs in the format asked for, or in the best that this CPU and these weights take.
    private static func pack(
        _ model: any LanguageModel, _ asked: WeightFormat?
    ) throws -> (format: WeightFormat, logitError: Double?) {
        let shared = model.sharedParameters()
        let groups = model.linearGroups
        let exact = try probe(model)
        let format = try groups.pack(asked)
        let logitError = format == .half ? try exact.sub(probe(model)).abs().max().item() : nil
        if let logitError, !(logitError < 1e9) {
            throw MartletError(.invalidData, "the model's results are not finite in \(format.rawValue)")
        }
        if format != .dense {
            for group in groups { try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) } }
        }
        return (format, logitError)
    }

    /// The logits of a few tokens from all over the vocabulary.
    private static func probe(_ model: any LanguageModel) throws -> Tensor {
        try Tensor.inference {
            let count = min(8, model.geometry.contextLength)
            let tokens = (0..<count).map { Int64($0 * 7919 % max(1, model.geometry.vocabularyCount)) }
            let attention = try SequenceAttention(lengths: [count])
            let hidden_ND = try model.hidden(Tensor(tokens), attention, .inference())
            return try model.logits(hidden_ND, .inference())
        }
    }
}
