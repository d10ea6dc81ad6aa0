import ArgumentParser
import MartletWire

struct Projects: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create and list projects.", subcommands: [List.self, Create.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List projects.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<ProjectInfo> = try await Connection.with(options) { try await $0.get("/api/v1/projects") }
            try options.output.show(page) { page in
                var table = Table(["NAME", "ID", "MADE"])
                for item in page.data { table.add([item.name, item.id, Format.time(item.createdAt)]) }
                return table.text
            }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create a project.")
        @Argument(help: "Its name.") var name: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let info: ProjectInfo = try await Connection.with(options) {
                try await $0.send(.POST, "/api/v1/projects", ["name": name])
            }
            try options.output.show(info) { "\($0.name)  \($0.id)" }
        }
    }
}
