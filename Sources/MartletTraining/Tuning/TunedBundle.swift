import Foundation
import MartletModels
import MartletTensor
import MartletWire

/// A tuned model as a folder: a whole language bundle, or an adapter in PEFT's form that names its base.
struct TunedBundle {
    let tuned: TunedModel
    let base: BaseModel

    /// Writes the folder whole or not at all. Throws `storageFull` where the disk is full.
    func write(_ card: ModelCard, to directory: String) throws {
        try FileManager.default.createDirectory(
            atPath: (directory as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try BundleFolder.write(to: directory) { folder in
            if let adapter = tuned.adapter {
                try adapter.save(base: base.reference, to: folder)
            } else {
                for name in BundleFile.language + BundleFile.pooling {
                    guard let file = tuned.folder.file(name) else { continue }
                    let target = "\(folder)/\(name)"
                    try FileManager.default.createDirectory(
                        atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
                    try FileManager.default.copyItem(atPath: file.resolvingSymlinksInPath().path, toPath: target)
                }
                try LanguageBundle.save(tuned.model, config: tuned.folder.config, to: URL(filePath: folder))
            }
            try BundleFolder.write(signature, BundleFile.signature, in: folder)
            try BundleFolder.write(card, BundleFile.card, in: folder)
        }
    }

    private var signature: Signature {
        let geometry = tuned.model.geometry
        var language = LanguageSummary(
            architecture: tuned.folder.config["model_type"]?.string ?? "",
            parameterCount: tuned.adapter?.parameterCount ?? tuned.model.parameterCount,
            contextLength: geometry.contextLength, vocabularyCount: geometry.vocabularyCount, width: geometry.width,
            layerCount: geometry.layerCount, storedPrecision: "float32",
            hasChatTemplate: tuned.folder.chatTemplate != nil, generates: true)
        if tuned.adapter != nil {
            language.base = .init(reference: base.reference, contentHash: base.contentHash)
        }
        var signature = Signature()
        signature.kind = .language
        signature.language = language
        return signature
    }
}
