import ArgumentParser
import MartletWire

struct Deployments: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List, show, scale, roll back and delete deployments.",
        subcommands: [List.self, Show.self, Scale.self, Rollback.self, Delete.self])

    private static func path(_ name: String) -> String { "/api/v1/deployments/\(Client.segment(name))" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List deployments.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<DeploymentInfo> = try await Connection.with(options) {
                try await $0.get("/api/v1/deployments")
            }
            try options.output.show(page) { DeploymentText.list($0) }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a deployment and its replicas.")
        @Argument(help: "The deployment's name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: DeploymentInfo = try await Connection.with(options) { try await $0.get(Deployments.path(name)) }
            try options.output.show(info) { DeploymentText.whole($0) }
        }
    }

    struct Scale: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Change how many processes answer.")
        @Argument(help: "The deployment's name.") var name: String
        @Argument(help: "How many.") var replicas: Int
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: DeploymentInfo = try await Connection.with(options) {
                try await $0.send(.PATCH, Deployments.path(name), ["replicas": replicas])
            }
            try options.output.show(info) { DeploymentText.whole($0) }
        }
    }

    struct Rollback: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Go back to the version that answered before.")
        @Argument(help: "The deployment's name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info = try await Connection.with(options) { client in
                let begun: DeploymentInfo = try await client.send(.POST, Deployments.path(name) + "/rollback")
                return try await Deploy.waitUntilReady(begun, client, options.output)
            }
            try options.output.show(info) { DeploymentText.whole($0) }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop a deployment and forget its name.")
        @Argument(help: "The deployment's name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            try await Deletion.run(Deployments.path(name), force: false, options)
        }
    }
}
