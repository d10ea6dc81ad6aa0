import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Testing

extension ServingPath {
    /// A bundle as it lies on the disk, computed without a cache: what a tuning job needs where serving is not the point.
    static let plain = ServingPath { bundle, base, format in
        var folder = URL(filePath: bundle)
        var merged: URL?
        defer { merged.map { try? FileManager.default.removeItem(at: $0) } }
        if let base {
            let made = FileManager.default.temporaryDirectory.appending(path: "merged-\(UUID().uuidString)")
            merged = made
            try ModelImport.merge(folder, into: URL(filePath: base), to: made)
            folder = made
        }
        let model = try LanguageBundle.load(folder).model
        return Model(format: (format ?? .half).rawValue) { tokens in
            try Tensor.inference {
                let attention = try SequenceAttention(lengths: [tokens.count])
                let hidden = try model.hidden(Tensor(tokens), attention, .inference())
                return try model.logits(hidden, .inference())
            }
        }
    }
}

/// One tuning job in a folder of its own, on the tiny Llama of Tests/Golden.
struct TuningTest {
    let scratch: Scratch
    let tree: JSON
    let files: [String: String]
    let base: BaseModel
    var serving = ServingPath.plain

    static let tests = URL(filePath: #filePath).deletingLastPathComponent()
    static let tiny = tests.deletingLastPathComponent().appending(path: "Golden/tiny-llama").path
    static let golden = tests.appending(path: "Golden/tuning").path

    /// - Parameter data: contents by the names that the recipe gives them.
    init(
        _ recipe: String, _ data: [String: String], base: String = TuningTest.tiny, adapter: String? = nil
    ) throws {
        scratch = try Scratch()
        tree = try RecipeReader.read(text: recipe, file: "recipe.yaml").tree
        var files: [String: String] = [:]
        for (name, content) in data { files[name] = try scratch.write(name, content) }
        self.files = files
        self.base = BaseModel(
            reference: "tiny@1", contentHash: "base-hash", path: base, adapterReference: adapter.map { _ in "mine@1" },
            adapterPath: adapter)
    }

    var directory: String { scratch.path + "/job" }
    var bundle: String { directory + "/bundle" }

    func run(
        _ told: Told = Told(), in phase: String = "training",
        stop: @escaping @Sendable (Int) -> JobLink.Stop? = { _ in nil }
    ) throws -> JobOutcome {
        let task = TrainTask(
            jobID: "job", recipe: tree,
            datasets: files.map {
                DatasetMount(reference: $0.key, resolved: "\($0.key)@1", contentHash: "h-\($0.key)", path: $0.value)
            }, base: base, directory: directory, share: MachineShare(threads: 1))
        let serving = serving
        return try onCompute { try TrainJob(task, link: told.link(in: phase, stop: stop), serving: serving).run() }
    }

    func finish(_ told: Told = Told()) throws -> JobResult {
        guard case .finished(let result) = try run(told) else {
            throw MartletError(.internal, "the job did not finish")
        }
        return result
    }

    /// The bytes of what was trained.
    var weights: Data {
        get throws {
            let names = [BundleFile.weights, BundleFile.adapterWeights].map { "\(bundle)/\($0)" }
            let name = try #require(names.first { FileManager.default.fileExists(atPath: $0) })
            return try Data(contentsOf: URL(filePath: name))
        }
    }

    /// What each step told of one number.
    static func curve(_ told: Told, _ name: String) -> [Double] {
        told.events.filter { $0.key.hasPrefix("step-") }.compactMap { $0.data[name]?.double }
    }

    static func goldenText(_ name: String) throws -> String {
        try String(contentsOfFile: "\(golden)/\(name)", encoding: .utf8)
    }
}
