import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// A language model with what its folder says beside the weights.
public struct LanguageBundle {
    public let model: any LanguageModel
    public let folder: ModelFolder

    /// Loads a folder in Hugging Face's form; weights become float32.
    /// - Throws: `MartletError` that names what is missing or not supported.
    public static func load(_ url: URL, device: Device = .cpu) throws -> LanguageBundle {
        let folder = try ModelFolder(url)
        let files = try WeightFiles(folder: url)
        let model = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: folder.config) }
        try WeightPlan(model, files, model.checkpoint).load(from: files, device: device)
        return LanguageBundle(model: model, folder: folder)
    }
}
