import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// A language model with what its folder says beside the weights.
public struct LanguageBundle {
    public let model: any LanguageModel
    public let folder: ModelFolder
    /// Whether it has no output layer, and makes vectors of texts alone.
    public let isHeadless: Bool
    /// How vectors are made of hidden states, where the folder says it as sentence-transformers does, else the mean; or
    /// why none can be made as it says.
    public let pooling: Result<TextEncoder.Pooling, MartletError>

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
        let form = try DecoderFiles(config: folder.config, tensors: files.names)
        let model = try form.make()
        let plan = try WeightPlan(model, files, form.checkpoint(of: model))
        let left = leavesLinear ? linear(model) : []
        try plan.load(from: files, device: device, except: left)
        return LanguageBundle(
            model: model, folder: folder, isHeadless: form.isHeadless,
            pooling: form.vectorFault.map { .failure($0) } ?? pooling(url),
            deferred: leavesLinear ? plan.deferred(left, in: files) : nil)
    }

    private static func pooling(_ url: URL) -> Result<TextEncoder.Pooling, MartletError> {
        do {
            return .success(try EncoderBundle.pooling(url).0)
        } catch {
            return .failure(
                error as? MartletError ?? MartletError(.invalidData, "1_Pooling/config.json cannot be read"))
        }
    }

    /// The weights that are used as linear layers alone.
    private static func linear(_ model: any LanguageModel) -> Set<ObjectIdentifier> {
        let weights = model.linearGroups.flatMap { group in group.layers.map { ObjectIdentifier($0.weight) } }
        return Set(weights).subtracting(model.sharedParameters())
    }
}
