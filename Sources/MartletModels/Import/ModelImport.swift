import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// What an import found and made.
public struct ImportReport: Codable, Sendable, Equatable {
    /// The class of the model, such as `LlamaForCausalLM`.
    public var architecture: String = ""
    /// What the model does: `generate`, `embed`, `classify`, `answer` or `translate`.
    public var task: String = ""
    public var parameterCount: Int = 0
    /// The types that the stored weights have, the commonest first.
    public var types: [String] = []
    public var byteCount: Int = 0
    public var contextLength: Int = 0
    public var vocabularyCount: Int = 0
    public var hasTokenizer: Bool = false
    public var hasChatTemplate: Bool = false
    /// Whether it is an adapter, which answers through its base; what stands above is of the base then, but for the
    /// parameters and the weights.
    public var isAdapter: Bool = false
    /// What was left aside and why.
    public var findings: [String] = []
    public init() {}
}

/// Brings a model that was made elsewhere into a folder of Martlet's form.
///
/// Nothing of the source is run, and nothing is written before all of it was checked.
public enum ModelImport {
    /// Beside the weights: what is kept as it is.
    static let keptFiles = [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt", "added_tokens.json",
        "chat_template.jinja", "chat_template.json", "modules.json",
    ]

    /// - Parameters:
    ///   - source: a folder in Hugging Face's form, one with a PEFT adapter, or a GGUF file.
    ///   - target: a folder that is made; it must not exist or be empty.
    ///   - base: the folder of the model that an adapter is for. The adapter stays one, unless serving cannot add what
    ///     it holds; then it is added to the base's weights, and a finding says so.
    /// - Throws: `MartletError` that names what is missing, wrong or not supported.
    public static func run(from source: URL, to target: URL, base: URL? = nil) throws -> ImportReport {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: source.path, isDirectory: &isFolder) else {
            throw MartletError(.notFound, "there is no file or folder '\(source.lastPathComponent)'")
        }
        if !isFolder.boolValue {
            guard GGUFFile.isOne(source) else {
                throw MartletError(
                    .unsupportedFormat,
                    "'\(source.lastPathComponent)' is no GGUF file; give the folder with config.json and "
                        + "model.safetensors, or a GGUF file")
            }
            guard base == nil else { throw noAdapter }
            return try GGUFImport.run(from: source, to: target)
        }
        if FileManager.default.fileExists(atPath: source.appending(path: AdapterFolder.configName).path) {
            let adapter = try AdapterFolder(source)
            guard let base else { throw adapter.baseMissing() }
            return try importAdapter(adapter, source, base, to: target)
        }
        guard base == nil else { throw noAdapter }
        return try importFolder(source, to: target)
    }

    private static func importFolder(_ source: URL, to target: URL) throws -> ImportReport {
        var folder = try ModelFolder(source)
        var files = try WeightFiles(folder: source)
        let part = try TextPart(folder.config, files)
        if let part { (folder, files) = (folder.with(config: part.config), part.files) }
        let tokenizer = try SentencePieceTokenizer.json(folder)
        var report = try check(folder, files, made: tokenizer)
        try makeFolder(target)
        try copyBeside(folder, to: target)
        if let part {
            report.findings.append(part.finding)
            try part.writeWeights(to: target)
            try write(Data((part.config.serialized(pretty: true) + "\n").utf8), "config.json", to: target)
        } else {
            try copyWeights(files, from: source, to: target)
        }
        if let tokenizer { try write(tokenizer, "tokenizer.json", to: target) }
        return report
    }

    private static var noAdapter: MartletError {
        MartletError(
            .invalidRequest,
            "a base is named, but this is a whole model and no adapter: it has no \(AdapterFolder.configName); leave the "
                + "base out", param: "base")
    }

    /// Adds an adapter to its base's weights, in the types that the base has.
    @discardableResult
    public static func merge(_ adapter: URL, into base: URL, to target: URL) throws -> ImportReport {
        try AdapterFolder(adapter).merge(into: base, writing: target)
    }

    private static func importAdapter(
        _ adapter: AdapterFolder, _ source: URL, _ base: URL, to target: URL
    ) throws -> ImportReport {
        let folder = try ModelFolder(base)
        let weights = try WeightFiles(folder: base)
        var report = try check(folder, weights)
        let model = try ImportedModel(config: folder.config, tensors: weights.names)
        do {
            guard let language = model.module as? any LanguageModel else {
                throw MartletError(.unsupportedFormat, "\(report.architecture) is not served with adapters")
            }
            _ = try adapter.plan(for: AdapterSites(language))
        } catch let error as MartletError where error.code == .unsupportedFormat {
            var report = try adapter.merge(into: base, writing: target)
            report.findings.append("it was merged because it cannot be served as an adapter: \(error.message)")
            return report
        }
        try makeFolder(target)
        try copyAdapter(from: source, to: target)
        report.isAdapter = true
        report.parameterCount = adapter.parameterCount
        report.types = [adapter.precision]
        report.byteCount = adapter.byteCount
        report.findings = ["an adapter made for '\(adapter.baseName)'; it answers through its base"]
        return report
    }

    /// Checks that the config can be computed, the weights are its own, and the tokenizer fits.
    /// - Parameter made: a tokenizer.json that was made for a folder without.
    static func check(_ folder: ModelFolder, _ files: WeightFiles, made: Data? = nil) throws -> ImportReport {
        var report = ImportReport()
        let model = try ImportedModel(config: folder.config, tensors: files.names)
        _ = try WeightPlan(model.module, files, model.checkpoint)
        report.task = model.task
        report.architecture = try ModelConfig(folder.config).architecture ?? ""
        report.parameterCount = model.module.parameters().reduce(0) { $0 + $1.parameter.value.count }
        report.types = files.types.map(\.rawValue)
        report.byteCount = files.byteCount
        report.contextLength = model.contextLength
        report.vocabularyCount = model.vocabularyCount
        report.findings = folder.findings
        report.hasChatTemplate = folder.chatTemplate != nil
        report.hasTokenizer = folder.tokenizer != nil || made != nil
        if let file = folder.tokenizer, let json = try ModelFolder.data(file, limit: SafeTensors.headerLimit) {
            try TokenizerSize.check(json, vocabularyCount: model.vocabularyCount)
        } else if let made {
            try TokenizerSize.check(made, vocabularyCount: model.vocabularyCount)
            report.findings.append("tokenizer.json was made of the SentencePiece file")
        } else {
            report.findings.append("there is no tokenizer.json: the model takes and gives token ids only")
        }
        if report.task == "embed" { _ = try EncoderBundle.pooling(folder.url) }
        if report.task == "generate" {
            do {
                if let fault = model.vectorFault { throw fault }
                _ = try EncoderBundle.pooling(folder.url)
            } catch let error as MartletError {
                report.findings.append("\(error.message); it writes texts and makes no vectors of them")
            }
        }
        let heads = files.names.filter { $0.hasPrefix("cls.") || $0.hasPrefix("lm_head.") }
        if report.task == "embed", !heads.isEmpty {
            report.findings.append("the layers for masked words (\(heads.count) tensors) are not used")
        }
        if report.task == "generate",
            report.contextLength < (try? ModelConfig(folder.config).size("max_position_embeddings")) ?? 0
        {
            report.findings.append(
                "beyond \(report.contextLength) tokens the rotary positions hang on the text's length; "
                    + "texts are limited to that")
        }
        return report
    }

    static func copyWeights(_ files: WeightFiles, from source: URL, to target: URL) throws {
        for name in files.fileNames { try copy(name, from: source, to: target) }
        if files.isIndexed { try copy(WeightFiles.indexName, from: source, to: target) }
    }

    static func copyBeside(_ folder: ModelFolder, to target: URL) throws {
        for name in keptFiles where folder.file(name) != nil { try copy(name, from: folder.url, to: target) }
        // How sentence-transformers makes embeddings of hidden states.
        let pooling = "1_Pooling/config.json"
        guard folder.file(pooling) != nil else { return }
        try FileManager.default.createDirectory(
            at: target.appending(path: "1_Pooling"), withIntermediateDirectories: true)
        try copy(pooling, from: folder.url, to: target)
    }

    static func copyAdapter(from source: URL, to target: URL) throws {
        for name in [AdapterFolder.configName, AdapterFolder.weightsName] {
            try copy(name, from: source, to: target)
        }
    }

    static func makeFolder(_ url: URL) throws {
        let manager = FileManager.default
        if let there = try? manager.contentsOfDirectory(atPath: url.path), !there.isEmpty {
            throw MartletError(.conflict, "the folder '\(url.lastPathComponent)' is not empty")
        }
        do {
            try manager.createDirectory(at: url, withIntermediateDirectories: true)
        } catch {
            throw MartletError(.internal, "the folder '\(url.lastPathComponent)' cannot be made")
        }
    }

    private static func write(_ data: Data, _ name: String, to target: URL) throws {
        do {
            try data.write(to: target.appending(path: name), options: .atomic)
        } catch {
            throw MartletError(.storageFull, "'\(name)' could not be written; make room and try again")
        }
    }

    /// The bytes themselves, also of a link.
    private static func copy(_ name: String, from source: URL, to target: URL) throws {
        do {
            try FileManager.default.copyItem(
                at: source.appending(path: name).resolvingSymlinksInPath(), to: target.appending(path: name))
        } catch let error as CocoaError where error.code == .fileWriteOutOfSpace {
            throw MartletError(.storageFull, "the disk is full; '\(name)' could not be copied: make room and try again")
        } catch {
            throw MartletError(.internal, "'\(name)' could not be copied")
        }
    }
}
