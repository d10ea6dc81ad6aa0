import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

/// A model that reads a source and writes an answer about it, in memory, its weights packed. Lives on the compute thread.
public final class LoadedSourceModel {
    public let format: WeightFormat
    /// The largest difference of a logit from float32's over a few tokens, where the format is not exact.
    public let logitError: Double?
    /// Most tokens of a source, and of an answer.
    public let length: Int
    public let vocabularyCount: Int
    /// Bytes that keys and values can grow to.
    public let cacheBytes: Int
    let engine: LanguageEngine

    /// Packs a model's weights; its own are gone then.
    /// - Parameter options: a cache that is too small for one request is made large enough for it.
    public init(_ model: T5, vocabulary: TokenVocabulary, options: LoadedLanguageModel.Options = .init()) throws {
        let geometry = model.geometry
        length = geometry.contextLength
        vocabularyCount = geometry.vocabularyCount
        try model.setTrainable(false)
        let groups = model.linearGroups
        let shared = model.sharedParameters()
        let exact = try Self.probe(model)
        let format = try groups.pack(options.format)
        self.format = format
        let error = try format == .dense ? 0 : exact.sub(Self.probe(model)).abs().max().item()
        guard error < 1e9 else {
            throw MartletError(.invalidData, "the model's results are not finite in \(format.rawValue)")
        }
        logitError = format == .half ? error : nil
        if format != .dense {
            for group in groups { try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) } }
        }
        // A token of a source takes as much as one of an answer: keys and values for each layer of the decoder.
        let page = CachePages.size * 8 * geometry.layerCount * geometry.keyValueHeadCount * geometry.headSize
        let whole = CachePages.count(for: 2 * length + 1)
        let allowed = options.cacheBytes > 0 ? options.cacheBytes : Int(ProcessInfo.processInfo.physicalMemory / 8)
        let pages = max(whole, min(allowed / page, whole * max(1, options.limits.sequences)))
        cacheBytes = pages * page
        var limits = options.limits
        limits.sharesPrefixes = false
        engine = LanguageEngine(SourcePass(model), vocabulary: vocabulary, limits: limits, pageCount: pages)
    }

    /// The logits of a few tokens from all over the vocabulary.
    private static func probe(_ model: T5) throws -> Tensor {
        try Tensor.inference {
            let tokens = (0..<8).map { Int32($0 * 7919 % max(1, model.vocabularyCount)) }
            let answer = T5.Answer(try model.source(tokens))
            return try model.logits(model.hidden([([Int32(model.startToken)] + tokens, answer)]), .inference())
        }
    }
}
