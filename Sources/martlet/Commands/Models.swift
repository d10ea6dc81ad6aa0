import ArgumentParser
import Foundation
import MartletWire

struct Models: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List, show, compare, import, export and delete models.",
        subcommands: [List.self, Show.self, Compare.self, Import.self, Export.self, Delete.self])

    static func path(_ reference: String) -> String { "/api/v1/models/\(Client.segment(reference))" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List models, the newest version of each.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<ModelInfo> = try await Connection.with(options) { try await $0.get("/api/v1/models") }
            try options.output.show(page) { ModelText.list($0) }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show which data, recipe and job made a model, its metrics and files.")
        @Argument(help: "NAME or NAME@VERSION.") var reference: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: ModelInfo = try await Connection.with(options) { try await $0.get(Models.path(reference)) }
            try options.output.show(info) { ModelText.whole($0) }
        }
    }

    struct Compare: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show two models' metrics side by side.")
        @Argument(help: "NAME or NAME@VERSION.") var first: String
        @Argument(help: "NAME or NAME@VERSION.") var second: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let pair: [ModelInfo] = try await Connection.with(options) {
                [try await $0.get(Models.path(first)), try await $0.get(Models.path(second))]
            }
            try options.output.show(pair) { ModelText.comparison($0) }
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Register a language model of another tool: a Hugging Face folder, or a GGUF file.")
        @Argument(help: "The folder or file.") var path: String
        @Option(help: "The model's name here.") var name: String
        @Option(help: "For an adapter (PEFT, LoRA): the model here that it is for and answers through.") var base:
            String?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let name = try Name.check(name, what: "model")
            let files = try ModelFiles(path: path)
            let output = options.output
            let (info, findings) = try await Connection.with(options) { client in
                for note in files.notes { output.note(note) }
                let job = try await Uploader(client: client, output: output).importModel(
                    name: name, files: files.items, base: base)
                let done = try await JobFollower(client: client, output: output).follow(job)
                try JobFollower.check(done)
                guard let model = done.model else {
                    throw MartletError(.internal, "the import made no model; see: martlet jobs logs \(done.id)")
                }
                let info: ModelInfo = try await client.get(Models.path(model))
                return (info, done.result?["findings"]?.array?.compactMap(\.string) ?? [])
            }
            // Without progress nobody has heard of them.
            let notes = output.isQuiet ? findings.map { "note: \($0)" } : []
            try output.show(info) { info in
                (notes + [
                    ModelText.summary(info),
                    Self.question(info),
                    "deploy it   martlet deploy \(info.name)@\(info.version)",
                ]).joined(separator: "\n")
            }
        }

        /// How a model is asked.
        private static func question(_ info: ModelInfo) -> String {
            guard info.signature.isLanguage, let language = info.signature.language else {
                return "ask it      martlet predict \(info.name) --input FILE"
            }
            if !language.generates {
                return "ask it      POST /v1/embeddings {\"model\": \"\(info.name)\", \"input\": …}"
            }
            if language.sourceLength != nil {
                return "ask it      POST /v1/completions {\"model\": \"\(info.name)\", \"prompt\": …}"
            }
            return "talk to it  martlet chat \(info.name)"
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Write a model's bundle into a folder.")
        @Argument(help: "NAME or NAME@VERSION.") var reference: String
        @Argument(help: "The folder; it must be empty or not there yet.") var folder: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: ModelInfo = try await Connection.with(options) { client in
                let info: ModelInfo = try await client.get(Models.path(reference))
                try await BundleExport(client: client, folder: folder).write(info)
                return info
            }
            try options.output.show(info) { "\($0.name)@\($0.version) is in \(folder)" }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a model or one version of it.")
        @Argument(help: "NAME or NAME@VERSION.") var reference: String
        @Flag(help: "Delete it though something refers to it; says what that breaks.") var force = false
        @OptionGroup var options: GlobalOptions

        func run() async throws { try await Deletion.run(Models.path(reference), force: force, options) }
    }
}
