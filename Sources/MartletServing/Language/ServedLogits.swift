import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// The logits that a bundle answers with: its files read, its weights packed and its cache used as a replica does it.
///
/// Lives on the compute thread. A tuning job compares them with its own before anything is published.
public final class ServedLogits {
    public let format: WeightFormat
    private let loaded: LoadedLanguageModel
    private let geometry: LanguageGeometry

    /// Tokens of one pass: a sequence goes through the cache in several, as a long prompt and its answer do.
    private static let passTokens = 48

    /// - Parameters:
    ///   - base: the folder of an adapter's base.
    ///   - format: nil for the one that is served by default.
    public init(bundle: String, base: String? = nil, format: WeightFormat? = nil) throws {
        var folder = URL(filePath: bundle)
        var merged: URL?
        defer { if let merged { try? FileManager.default.removeItem(at: merged) } }
        if let base {
            let target = FileManager.default.temporaryDirectory.appending(path: "martlet-merged-\(UUID().uuidString)")
            merged = target
            _ = try ModelImport.run(from: folder, to: target, base: URL(filePath: base))
            folder = target
        }
        let loadedBundle = try LanguageBundle.load(folder)
        try loadedBundle.model.setTrainable(false)
        var options = LoadedLanguageModel.Options()
        options.format = format
        options.limits.sequences = 1
        loaded = try LoadedLanguageModel(
            loadedBundle.model, vocabulary: LanguageText(loadedBundle.folder).vocabulary, options: options)
        self.format = loaded.format
        geometry = loaded.geometry
    }

    /// [tokens, vocabulary].
    /// - Throws: `TensorError` where there are no tokens or more than the context.
    public func callAsFunction(_ tokens: [Int]) throws -> Tensor {
        let pages = CachePages.count(for: tokens.count)
        let attention = try PagedAttention(geometry, pageCount: max(1, pages))
        return try Tensor.inference {
            var parts: [Tensor] = []
            for start in stride(from: 0, to: tokens.count, by: Self.passTokens) {
                let part = tokens[start..<min(start + Self.passTokens, tokens.count)]
                try attention.begin([
                    LanguageScheduler.Row(
                        id: .init(request: 0, choice: 0), tokens: part.map { Int32($0) }, start: start,
                        pages: (0..<Int32(pages)).map { $0 }, samples: false)
                ])
                let hidden_ND = try loaded.engine.model.hidden(
                    Tensor(part.map { Int64($0) }, shape: [part.count]), attention, .inference())
                parts.append(try loaded.engine.model.logits(hidden_ND, .inference()).to(.float32))
            }
            return try Tensor.cat(parts)
        }
    }
}
