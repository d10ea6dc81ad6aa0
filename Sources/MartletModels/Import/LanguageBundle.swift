import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// A language model with what its folder says beside the weights.
public struct LanguageBundle {
    public let model: any LanguageModel
    public let folder: ModelFolder

    /// The weights of the linear layers, where they were left in the files.
    public let deferred: DeferredWeights?

    /// Loads a folder in Hugging Face's form; weights become float32.
    /// - Parameter leavesLinear: leaves the weights of the layers that serving packs in the files; the model computes
    ///   only once they were packed.
    /// - Throws: `MartletError` that names what is missing or not supported.
    public static func load(
        _ url: URL, device: Device = .cpu, leavesLinear: Bool = false
    ) throws -> LanguageBundle {
        let folder = try ModelFolder(url)
        let files = try WeightFiles(folder: url)
        let model = try Parameter.withoutMemory { try LanguageModelCatalog.make(config: folder.config) }
        let plan = try WeightPlan(model, files, model.checkpoint)
        let left = leavesLinear ? linear(model) : []
        try plan.load(from: files, device: device, except: left)
        return LanguageBundle(
            model: model, folder: folder, deferred: leavesLinear ? plan.deferred(left, in: files) : nil)
    }

    /// The weights that are used as linear layers alone.
    private static func linear(_ model: any LanguageModel) -> Set<ObjectIdentifier> {
        let weights = model.linearGroups.flatMap { group in group.layers.map { ObjectIdentifier($0.weight) } }
        return Set(weights).subtracting(model.sharedParameters())
    }
}
