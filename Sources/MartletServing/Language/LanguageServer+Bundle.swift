import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

extension LanguageServer {
    /// Loads the bundle of a task and makes its server. Runs on the compute thread; then call `run` there.
    /// - Throws: `invalidData` or `unsupportedFormat` that names what is wrong with the bundle, `invalidRequest` where
    ///   the precision is not one that there is.
    public static func load(_ task: ServeTask) throws -> (model: LoadedLanguageModel, server: LanguageServer) {
        guard task.share.device == "cpu" else {
            throw MartletError(
                .unsupportedFormat, "language models are served on the cpu; '\(task.share.device)' is not supported yet"
            )
        }
        var options = LoadedLanguageModel.Options()
        if task.language.precision != "auto" {
            guard let format = WeightFormat(rawValue: task.language.precision) else {
                let known = WeightFormat.allCases.map(\.rawValue).joined(separator: ", ")
                throw MartletError(
                    .invalidRequest, "'\(task.language.precision)' is not a precision; use auto, \(known)",
                    param: "precision")
            }
            options.format = format
        }
        options.cacheBytes = max(0, task.language.cacheBytes)
        options.limits.sequences = max(1, task.language.maxSequences)
        options.limits.waiting = max(1, task.queueLimit)
        options.limits.waitingPerOwner = options.limits.waiting
        options.limits.waitingTokens = max(1, task.language.queuedTokenLimit)
        options.adapterBytes = max(0, task.language.adapterBytes)
        options.adapterCount = max(1, task.language.maxAdapters)
        let bundle = try LanguageBundle.load(URL(filePath: task.bundle))
        let text = try LanguageText(bundle.folder)
        try bundle.model.setTrainable(false)
        let model = try LoadedLanguageModel(bundle.model, vocabulary: text.vocabulary, options: options)
        var bounds = Bounds(contextLength: model.contextLength, vocabularyCount: model.geometry.vocabularyCount)
        bounds.preparing = max(1, task.queueLimit)
        return (model, LanguageServer(name: task.model, text: text, bounds: bounds, adapters: model.adapters))
    }
}
