import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// An encoder with what its folder says beside the weights.
public struct EncoderBundle {
    public let model: TextEncoder
    public let folder: ModelFolder
    /// How embeddings are made, where the folder says it as sentence-transformers does; else the mean.
    public let pooling: TextEncoder.Pooling
    /// Whether embeddings are scaled to length 1.
    public let normalizes: Bool

    /// Loads a folder in Hugging Face's form; weights become float32.
    public static func load(_ url: URL, device: Device = .cpu) throws -> EncoderBundle {
        let folder = try ModelFolder(url)
        let files = try WeightFiles(folder: url)
        let model = try Parameter.withoutMemory {
            try TextEncoderCatalog.make(config: folder.config, hasPooler: hasPooler(files.names))
        }
        try WeightPlan(model, files, model.checkpoint).load(from: files, device: device)
        let (pooling, normalizes) = try pooling(url)
        return EncoderBundle(model: model, folder: folder, pooling: pooling, normalizes: normalizes)
    }

    static func hasPooler(_ names: [String]) -> Bool { names.contains { $0.hasSuffix("pooler.dense.weight") } }

    /// The folders of sentence-transformers' steps: `1_Pooling` says how, and whether there is a `2_Normalize`.
    static func pooling(_ url: URL) throws -> (TextEncoder.Pooling, Bool) {
        let manager = FileManager.default
        let steps = url.appending(path: "modules.json")
        let list =
            manager.fileExists(atPath: steps.path)
            ? try ModelFolder.json(steps, limit: ModelFolder.jsonLimit).array ?? [] : []
        let kinds = list.map { $0["type"]?.string?.split(separator: ".").last.map(String.init) ?? "without a type" }
        if let other = kinds.first(where: { !["Transformer", "Pooling", "Normalize"].contains($0) }) {
            throw MartletError(
                .unsupportedFormat,
                "the step '\(other.prefix(60))' of modules.json is not supported: without it the vectors would be others; "
                    + "Transformer, Pooling and Normalize are")
        }
        let normalizes = kinds.contains("Normalize")
        let file = url.appending(path: "1_Pooling").appending(path: "config.json")
        guard manager.fileExists(atPath: file.path) else { return (.mean, normalizes) }
        let config = try ModelFolder.json(file, limit: ModelFolder.jsonLimit)
        // Newer folders name the way in one text.
        if let name = config["pooling_mode"]?.string {
            let ways = ["cls": TextEncoder.Pooling.first, "mean": .mean, "max": .max, "lasttoken": .last]
            guard let pooling = ways[name] else { throw unsupported("pooling_mode '\(name.prefix(60))'") }
            return (pooling, normalizes)
        }
        let chosen = [
            ("pooling_mode_cls_token", TextEncoder.Pooling.first), ("pooling_mode_mean_tokens", .mean),
            ("pooling_mode_max_tokens", .max), ("pooling_mode_lasttoken", .last),
            ("pooling_mode_mean_sqrt_len_tokens", nil), ("pooling_mode_weightedmean_tokens", nil),
        ].filter { config[$0.0] == .bool(true) }
        guard chosen.count <= 1, let pooling = chosen.isEmpty ? .mean : chosen[0].1 else {
            throw unsupported(chosen.map(\.0).joined(separator: " with "))
        }
        return (pooling, normalizes)
    }

    private static func unsupported(_ pooling: String) -> MartletError {
        MartletError(.unsupportedFormat, "the pooling \(pooling) of 1_Pooling/config.json is not supported")
    }
}

extension T5 {
    static let headName = "lm_head.weight"

    /// Loads a folder in Hugging Face's form; weights become float32.
    public static func load(_ url: URL, device: Device = .cpu) throws -> T5 {
        let folder = try ModelFolder(url)
        let files = try WeightFiles(folder: url)
        let model = try Parameter.withoutMemory {
            try T5.make(config: folder.config, hasHead: files.entry(headName) != nil)
        }
        try WeightPlan(model, files, model.checkpoint).load(from: files, device: device)
        return model
    }
}
