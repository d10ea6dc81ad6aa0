import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

// T tokens of a sequence, V vocabulary

/// The logits that serving computes for given tokens: the same weights, adapter, packing, passes and cache, without
/// sampling. For holding them against training's. Lives on the compute thread.
public final class LanguageProbe {
    public let geometry: LanguageGeometry
    /// How the weights lie, as it was asked for or chosen.
    public let format: WeightFormat
    private let pass: any AnswerPass
    private let adapter: AdapterLease?
    private let pageCount: Int

    /// Loads a bundle as serving does.
    /// - Parameters:
    ///   - bundle: the folder of a whole model.
    ///   - adapter: the folder of an adapter for it, in PEFT's form.
    ///   - format: nil is the one that serving would choose here.
    /// - Throws: `MartletError` that names what is wrong with the model or the adapter.
    public init(bundle: URL, adapter: URL? = nil, format: WeightFormat? = .dense) throws {
        let bundle = try LanguageBundle.load(bundle, leavesLinear: true)
        try bundle.model.setTrainable(false)
        var options = LoadedLanguageModel.Options()
        options.format = format
        options.limits.sequences = 1
        // Whatever the adapter's size, there is one.
        options.adapterBytes = .max / 2
        let loaded = try LoadedLanguageModel(
            bundle.model, deferred: bundle.deferred, vocabulary: TokenVocabulary(bytes: [], endTokens: []),
            options: options)
        geometry = loaded.geometry
        self.format = loaded.format
        pass = loaded.engine.pass
        pageCount = loaded.pageCount
        self.adapter = try adapter.map { folder in
            try loaded.adapters.lease(
                AdapterReference(reference: folder.lastPathComponent, contentHash: "probe", path: folder.path))
        }
    }

    /// The logits [T, V] of every token of each sequence, float32, in passes of at most `partTokens` tokens.
    /// - Throws: `invalidRequest` where a sequence is empty or longer than the context, or a token is none of the model's.
    public func logits(_ sequences: [[Int32]], partTokens: Int = 128) throws -> [Tensor] {
        try sequences.map { tokens in
            var parts: [Tensor] = []
            try forEachPart(of: tokens, partTokens: partTokens) { parts.append($0) }
            return try Tensor.inference { try Tensor.cat(parts) }
        }
    }

    /// The same for one sequence, a pass at a time.
    public func forEachPart(
        of tokens: [Int32], partTokens: Int = 128, _ body: (_ logits_TV: Tensor) throws -> Void
    ) throws {
        let pages = CachePages.count(for: tokens.count)
        guard !tokens.isEmpty, tokens.count <= geometry.contextLength, pages <= pageCount else {
            throw MartletError(
                .invalidRequest, "a sequence of \(tokens.count) tokens is not within 1 to \(geometry.contextLength)")
        }
        if let token = tokens.first(where: { $0 < 0 || Int($0) >= geometry.vocabularyCount }) {
            throw MartletError(
                .invalidRequest, "token \(token) is none of the model's \(geometry.vocabularyCount)")
        }
        let size = max(1, partTokens)
        for start in stride(from: 0, to: tokens.count, by: size) {
            let part = Array(tokens[start..<min(start + size, tokens.count)])
            let row = LanguageScheduler.Row(
                id: .init(request: 0, choice: 0), tokens: part, start: start, pages: (0..<Int32(pages)).map { $0 },
                samples: true)
            let logits_TV = try Tensor.inference {
                let hidden_ND = try pass.hidden([.init(row: row, adapter: adapter?.weights)])
                return try pass.logits(hidden_ND, [(adapter?.weights, part.count)])
            }
            try body(logits_TV)
        }
    }
}
