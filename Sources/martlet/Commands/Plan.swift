import ArgumentParser
import Foundation
import MartletWire

struct Plan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a recipe's layers, parameters, memory and estimated time, before anything runs.")
    @Argument(help: "The recipe, YAML or JSON.") var recipe: String?
    @Option(help: "Set a value of the recipe: key.path=value. May stand several times.") var set: [String] = []
    @Flag(help: "Print the recipe's JSON Schema.") var schema = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        if schema { return print(RecipeReader.jsonSchema.serialized(pretty: true)) }
        guard let recipe else { throw ValidationError("give a recipe, or --schema") }
        let file = try RecipeFile(path: recipe, settings: set)
        // The engine reads what we checked: the tree with its settings in it.
        let copy = NSTemporaryDirectory() + "/martlet-plan-\(UUID().uuidString).json"
        try file.tree.data.write(to: URL(fileURLWithPath: copy))
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let threads = ProcessInfo.processInfo.activeProcessorCount
        var arguments = ["plan", "--recipe", copy, "--threads", String(threads)]
        let folders = DatasetFolders(options: options)
        defer { folders.remove() }
        for source in file.sources {
            var path = DataResolver.path(source, in: file.folders) ?? ""
            if path.isEmpty { path = try await folders.path(of: source) }
            arguments += ["--data", source + "=" + URL(fileURLWithPath: path).path]
        }
        if let base = file.recipe.base {
            let found = try await folders.base(base)
            arguments += ["--base", found.path]
            if let adapter = found.adapter { arguments += ["--adapter", adapter] }
        }
        let (data, status) = try EngineTool.run(arguments)
        guard status == 0 else { throw ExitCode(status) }
        let plan = try JSONParser.parse(data, limits: .trusted)
        try options.output.show(plan) { PlanText.of($0) }
    }
}
