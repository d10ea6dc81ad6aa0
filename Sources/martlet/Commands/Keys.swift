import ArgumentParser
import Foundation
import MartletWire

extension Role: ExpressibleByArgument {}

struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Create, list and revoke API keys.", subcommands: [List.self, Create.self, Revoke.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List keys, without their secrets.")
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<KeyInfo> = try await Connection.with(options) { try await $0.get("/api/v1/keys") }
            try options.output.show(page) { page in
                var table = Table(["ID", "NAME", "PROJECT", "ROLE", "KEY", "MADE", "STATE"])
                for key in page.data {
                    let state = key.revokedAt.map { "revoked \(Format.time($0))" }
                    table.add([
                        key.id, key.name, key.project, key.role.rawValue, key.prefix + "…", Format.time(key.createdAt),
                        state ?? key.expiresAt.map { "until \(Format.time($0))" } ?? "valid",
                    ])
                }
                return table.text
            }
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create a key; its secret is shown once.")
        @Option(help: "A name to tell it by.") var name = "key"
        @Option(help: "The project that it belongs to.") var project: String?
        @Option(help: "admin, developer, inference or auditor.") var role = Role.developer
        @Option(name: .customLong("expires-in"), help: "Days until it ends by itself.") var days: Int?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            var body: JSONObject = ["name": .string(name), "role": .string(role.rawValue)]
            if let project { body["project"] = .string(project) }
            if let days {
                body["expires_at"] = .string(Date().addingTimeInterval(Double(days) * 86_400).formatted(.iso8601))
            }
            let key: KeyInfo = try await Connection.with(options) {
                try await $0.send(.POST, "/api/v1/keys", JSON.object(body))
            }
            try options.output.show(key) { $0.secret ?? $0.id }
            if !options.json { options.output.note("keep it: it is not shown again") }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a key useless, at once and for good.")
        @Argument(help: "The key's id.") var id: String
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let key: KeyInfo = try await Connection.with(options) {
                try await $0.send(.DELETE, "/api/v1/keys/\(Client.segment(id))")
            }
            try options.output.show(key) { "\($0.id)  revoked" }
        }
    }
}
