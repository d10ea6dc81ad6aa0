import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletTraining
import MartletWire

/// Reads a language model of another tool and writes the bundle that is registered.
struct ImportJob {
    private let task: ImportTask
    private let link: JobLink
    private static let bundle = "bundle"

    init(_ task: ImportTask, link: JobLink) {
        self.task = task
        self.link = link
    }

    func run() throws -> JobOutcome {
        try link.carryOut(jobID: task.jobID, directory: task.directory) { try work() }
    }

    private func work() throws -> JobOutcome {
        let started = ContinuousClock.now
        link.progress(JobProgress(phase: "reading"))
        let target = URL(filePath: task.directory).appending(path: Self.bundle)
        // What a worker before this one left unfinished.
        try? FileManager.default.removeItem(at: target)
        let report = try ModelImport.run(from: try source(), to: target, base: task.base.map { URL(filePath: $0.path) })
        try link.goOn()
        link.progress(JobProgress(phase: "checking"))
        // An adapter answers with its base's text side.
        let folder = try ModelFolder(report.isAdapter ? task.base.map { URL(filePath: $0.path) } ?? target : target)
        // What cannot be served is refused here, and not at the first request.
        _ = try LanguageText(folder)
        try link.goOn()
        var signature = Self.signature(report, folder)
        if ["classify", "answer"].contains(report.task) {
            // Asked as a model of rows is.
            signature.kind = .features
            let model = try Parameter.withoutMemory {
                try TextEncoderCatalog.make(config: folder.config, hasPooler: true)
            }
            try TextTask(model, config: folder.config).describe(in: &signature)
        }
        var card = card(report)
        if report.isAdapter, let base = task.base {
            signature.language?.base = .init(reference: base.reference, contentHash: base.contentHash)
            card.hashes = ["base": base.contentHash]
        }
        try write(signature, BundleFile.signature, to: target)
        try write(card, BundleFile.card, to: target)
        for (index, finding) in report.findings.enumerated() {
            link.event(JobEvent(key: "finding-\(index)", type: "warning", level: "warning", message: finding))
        }
        return .finished(
            JobResult(
                bundle: Self.bundle, card: card, report: try JSON(encoding: report),
                usage: JobUsage(cpuSeconds: started.duration(to: .now) / .seconds(1), rows: 0)))
    }

    /// The folder as it was sent, or its one GGUF file.
    private func source() throws -> URL {
        let folder = URL(filePath: task.source)
        let names = try FileManager.default.contentsOfDirectory(atPath: task.source)
        guard !names.contains(BundleFile.config), names.count == 1, let name = names.first,
            name.lowercased().hasSuffix(".gguf")
        else { return folder }
        return folder.appending(path: name)
    }

    private static func signature(_ report: ImportReport, _ folder: ModelFolder) -> Signature {
        let config = folder.config
        var signature = Signature()
        signature.kind = .language
        signature.language = LanguageSummary(
            architecture: config["model_type"]?.string ?? report.architecture, parameterCount: report.parameterCount,
            contextLength: report.contextLength, vocabularyCount: report.vocabularyCount,
            width: (config["hidden_size"] ?? config["n_embd"] ?? config["d_model"])?.int ?? 0,
            layerCount: (config["num_hidden_layers"] ?? config["n_layer"] ?? config["num_layers"])?.int ?? 0,
            storedPrecision: report.types.joined(separator: ", "), hasChatTemplate: report.hasChatTemplate,
            generates: ["generate", "translate"].contains(report.task))
        if report.task == "translate" { signature.language?.sourceLength = report.contextLength }
        return signature
    }

    private func card(_ report: ImportReport) -> ModelCard {
        var card = ModelCard()
        card.name = task.name
        card.parameterCount = report.parameterCount
        card.jobID = task.jobID
        card.environment = [
            "libtorch": Torch.version, "cpu": Torch.cpuCapability, "architecture": report.architecture,
        ]
        if !report.findings.isEmpty { card.environment["import"] = report.findings.joined(separator: "\n") }
        return card
    }

    private func write(_ value: some Encodable, _ name: String, to folder: URL) throws {
        do {
            try JSONEncoder.wire.encode(value).write(to: folder.appending(path: name))
        } catch let error as CocoaError where error.code == .fileWriteOutOfSpace {
            throw MartletError(.storageFull, "the disk is full; make room and import again")
        } catch {
            throw MartletError(.internal, "the bundle's \(name) cannot be written")
        }
    }
}
