import Foundation
import MartletData
import MartletModels
import MartletTensor
import MartletTraining
import MartletWire

/// `plan --recipe FILE [--data REF=PATH]… [--threads N]`: what a recipe will make and take, as JSON.
enum PlanCommand {
    static func run(_ arguments: [String]) throws {
        let options = try EngineOptions(arguments)
        let threads = options.threads
        try options.withSources { recipe, sources, directory in
            try ComputeThread().run {
                try Torch.setThreadCount(threads)
                try Torch.setDeterministic(true)
                let plan = try TrainingPlan(PlannedTraining(recipe, sources, cacheDirectory: directory))
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

    /// Reads the recipe, resolves its sources, and gives a temporary folder for what is made of them.
    func withSources(_ body: (Recipe, ResolvedSources, String) throws -> Void) throws {
        guard let path = recipe, let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw MartletError(.notFound, "the recipe '\(recipe ?? "")' cannot be read; check the path")
        }
        let recipe = try RecipeReader.read(text: text, file: (path as NSString).lastPathComponent).recipe
        let source = recipe.data.source
        let mounts = (source.all + source.train + source.validation + source.test).map { reference in
            DatasetMount(reference: reference, resolved: reference, contentHash: "", path: data[reference] ?? reference)
        }
        let directory = NSTemporaryDirectory() + "martlet-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(recipe, try ResolvedSources(source, mounts: mounts), directory)
    }
}
