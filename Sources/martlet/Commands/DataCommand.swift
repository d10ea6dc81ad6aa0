import ArgumentParser
import Foundation
import MartletWire

struct DataCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Add, list, show and delete datasets.",
        subcommands: [Add.self, List.self, Show.self, Delete.self])

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add files or folders as a version of a dataset.")
        @Argument(help: "The dataset's name.") var name: String
        @Argument(help: "Files or folders.") var paths: [String]
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            guard !paths.isEmpty else { throw ValidationError("give at least one file or folder") }
            let name = try Name.check(name, what: "dataset")
            let info = try await Connection.with(options) { client in
                let info = try await Uploader(client: client, output: options.output).add(name: name, paths: paths)
                return try await Self.waitForProfile(info, client: client)
            }
            try options.output.show(info) { DatasetText.added($0) }
        }

        /// The dataset once it was read. Throws what was wrong with it.
        private static func waitForProfile(_ info: DatasetInfo, client: Client) async throws -> DatasetInfo {
            guard info.profile == nil, let job = info.profileJob else { return info }
            var failure: MartletError?
            try await client.follow(job: job) { item in
                if case .job(let job) = item, job.state == .failed { failure = job.error }
            }
            if let failure {
                // What was refused is not added; where something refers to that content already, it stays.
                let _: JSON? = try? await client.send(.DELETE, path(info))
                throw failure
            }
            return try await client.get(path(info))
        }

        private static func path(_ info: DatasetInfo) -> String {
            "/api/v1/datasets/\(Client.segment("\(info.name)@\(info.version)"))"
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List datasets, the newest version of each.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<DatasetInfo> = try await Connection.with(options) { try await $0.get("/api/v1/datasets") }
            try options.output.show(page) { page in
                var table = Table(["NAME", ">VERSION", ">FILES", ">SIZE", "ADDED", "HASH"])
                for item in page.data {
                    table.add([
                        item.name, String(item.version), Format.count(item.files.count), Format.bytes(item.byteCount),
                        Format.time(item.createdAt), Format.short(hash: item.contentHash),
                    ])
                }
                return table.isEmpty ? "no datasets; add one with: martlet data add NAME PATH" : table.text
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a dataset's columns, counts and histograms.")
        @Argument(help: "NAME or NAME@VERSION.") var reference: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: DatasetInfo = try await Connection.with(options) {
                try await $0.get("/api/v1/datasets/\(Client.segment(reference))")
            }
            try options.output.show(info) { DatasetText.whole($0) }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a dataset or one version of it.")
        @Argument(help: "NAME or NAME@VERSION.") var reference: String
        @Flag(help: "Delete it though something refers to it; says what that breaks.") var force = false
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            try await Deletion.run("/api/v1/datasets/\(Client.segment(reference))", force: force, options)
        }
    }
}
