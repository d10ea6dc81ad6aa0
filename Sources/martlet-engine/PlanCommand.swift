import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTraining
import MartletWire

/// `plan --recipe FILE [--data REF=PATH]… [--base FOLDER [--adapter FOLDER]] [--threads N]`: what a recipe will make and
/// take, as JSON.
enum PlanCommand {
    static func run(_ arguments: [String]) throws {
        let options = try EngineOptions(arguments)
        let threads = options.threads
        try options.withSources { recipe, sources, directory in
            let tuning = try options.tuningTask(recipe, directory)
            try ComputeThread().run {
                try Torch.setThreadCount(threads)
                try Torch.setDeterministic(true)
                let planned =
                    try tuning.map { try PlannedTraining(tuning: $0) }
                    ?? PlannedTraining(recipe, sources, cacheDirectory: directory)
                // As a job has them; a tuning one chooses them itself.
                if tuning == nil { try Torch.setThreadCount(planned.threads(of: threads)) }
                let plan = try TrainingPlan(planned)
                print(try JSON(encoding: plan.summary).ordered(["layers"]).serialized())
            }
        }
    }
}

extension JSON {
    /// The object with these keys first.
    fileprivate func ordered(_ first: [String]) -> JSON {
        guard case .object(let object) = self else { return self }
        return .object(
            JSONObject(
                (first + object.keys.filter { !first.contains($0) }).compactMap { key in
                    object[key].map { (key, $0) }
                }))
    }
}

/// What `plan` and `bench-train` are given.
struct EngineOptions {
    var recipe: String?
    var data: [String: String] = [:]
    var steps: Int?
    var threads = 2
    /// The folders of the recipe's base, and of the adapter on it that is trained further.
    var base: String?
    var adapter: String?

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        func value(of option: String) throws -> String {
            guard let value = rest.popFirst() else { throw MartletError(.usage, "\(option) needs a value") }
            return value
        }
        while let argument = rest.popFirst() {
            switch argument {
            case "--recipe": recipe = try value(of: argument)
            case "--steps": steps = Int(try value(of: argument))
            case "--threads": threads = max(1, Int(try value(of: argument)) ?? 1)
            case "--base": base = try value(of: argument)
            case "--adapter": adapter = try value(of: argument)
            case "--data":
                let parts = try value(of: argument).split(separator: "=", maxSplits: 1)
                guard parts.count == 2 else { throw MartletError(.usage, "--data takes REFERENCE=PATH") }
                data[String(parts[0])] = String(parts[1])
            default:
                guard recipe == nil, !argument.hasPrefix("-") else {
                    throw MartletError(.usage, "unknown argument '\(argument)'")
                }
                recipe = argument
            }
        }
    }

    /// The job that trains the recipe's base further; nil where it has none.
    func tuningTask(_ recipe: Recipe, _ directory: String) throws -> TrainTask? {
        guard let name = recipe.base, let base else { return nil }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        return TrainTask(
            jobID: "plan", recipe: try read().tree, datasets: mounts(recipe),
            base: BaseModel(
                reference: name, contentHash: "", path: base, adapterReference: adapter.map { _ in name },
                adapterPath: adapter),
            directory: directory, share: MachineShare(threads: threads))
    }

    private func read() throws -> RecipeReader.Result {
        guard let path = recipe, let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw MartletError(.notFound, "the recipe '\(recipe ?? "")' cannot be read; check the path")
        }
        return try RecipeReader.read(text: text, file: (path as NSString).lastPathComponent)
    }

    private func mounts(_ recipe: Recipe) -> [DatasetMount] {
        let source = recipe.data.source
        return (source.all + source.train + source.validation + source.test).map { reference in
            DatasetMount(reference: reference, resolved: reference, contentHash: "", path: data[reference] ?? reference)
        }
    }

    /// Reads the recipe, resolves its sources, and gives a temporary folder for what is made of them.
    func withSources(_ body: (Recipe, ResolvedSources, String) throws -> Void) throws {
        let recipe = try read().recipe
        let directory = NSTemporaryDirectory() + "martlet-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(recipe, try ResolvedSources(recipe.data.source, mounts: mounts(recipe)), directory)
    }
}
