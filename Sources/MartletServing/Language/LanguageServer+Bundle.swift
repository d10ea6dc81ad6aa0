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
        try checkDevice(task)
        var options = try options(task)
        let bundle = try LanguageBundle.load(URL(filePath: task.bundle), leavesLinear: true)
        let pooling = bundle.pooling
        options.pooling = (try? pooling.get()) ?? .mean
        // Vectors need no cache.
        if bundle.isHeadless { options.limits.sequences = 1 }
        let folder = bundle.folder
        let reading = Background { try LanguageText(folder) }
        try bundle.model.setTrainable(false)
        let model = try LoadedLanguageModel(
            bundle.model, deferred: bundle.deferred, vocabulary: reading.value().vocabulary,
            options: options)
        let text = try reading.value()
        var bounds = Bounds(contextLength: model.contextLength, vocabularyCount: model.geometry.vocabularyCount)
        bounds.preparing = max(1, task.queueLimit)
        bounds.waiting = bounds.preparing
        bounds.generates = !bundle.isHeadless
        if case .failure(let fault) = pooling { bounds.vectorFault = fault }
        return (model, LanguageServer(name: task.model, text: text, bounds: bounds, adapters: model.adapters))
    }

    private static func options(_ task: ServeTask) throws -> LoadedLanguageModel.Options {
        var options = LoadedLanguageModel.Options()
        options.format = try format(task)
        options.cacheBytes = max(0, task.language.cacheBytes)
        options.limits.sequences = max(1, task.language.maxSequences)
        options.limits.waiting = max(1, task.queueLimit)
        options.limits.waitingPerOwner = options.limits.waiting
        options.limits.waitingTokens = max(1, task.language.queuedTokenLimit)
        options.adapterBytes = max(0, task.language.adapterBytes)
        options.adapterCount = max(1, task.language.maxAdapters)
        return options
    }

    /// The same for the bundle of a model that reads a source before it writes.
    public static func loadSourceModel(
        _ task: ServeTask
    ) throws -> (model: LoadedSourceModel, server: LanguageServer) {
        try checkDevice(task)
        let url = URL(filePath: task.bundle)
        let text = try LanguageText(ModelFolder(url), writesWholeTexts: true)
        let model = try LoadedSourceModel(T5.load(url), vocabulary: text.vocabulary, options: options(task))
        var bounds = Bounds(contextLength: model.length, vocabularyCount: model.vocabularyCount)
        bounds.sourceLength = model.length
        bounds.preparing = max(1, task.queueLimit)
        bounds.waiting = bounds.preparing
        return (model, LanguageServer(name: task.model, text: text, bounds: bounds))
    }

    /// Whether a bundle is an encoder's, which reads a text from both its ends.
    public static func holdsEncoder(_ task: ServeTask) throws -> Bool {
        TextEncoderCatalog.has(try ModelFolder(URL(filePath: task.bundle)).config)
    }

    /// The same for an encoder's bundle.
    public static func loadEncoder(_ task: ServeTask) throws -> (model: LoadedEncoder, server: LanguageServer) {
        try checkDevice(task)
        let bundle = try EncoderBundle.load(URL(filePath: task.bundle))
        let text = try LanguageText(bundle.folder)
        try bundle.model.setTrainable(false)
        let model = try LoadedEncoder(bundle, format: format(task))
        var bounds = Bounds(contextLength: model.contextLength, vocabularyCount: model.vocabularyCount)
        bounds.preparing = max(1, task.queueLimit)
        bounds.generates = false
        return (model, LanguageServer(name: task.model, text: text, bounds: bounds))
    }

    private static func checkDevice(_ task: ServeTask) throws {
        guard task.share.device == "cpu" else {
            throw MartletError(
                .unsupportedFormat, "language models are served on the cpu; '\(task.share.device)' is not supported yet"
            )
        }
    }

    /// The weights' format that the task asks for; nil where the engine is to choose.
    public static func format(_ task: ServeTask) throws -> WeightFormat? {
        try WeightFormat.asked(task.language.precision)
    }
}
