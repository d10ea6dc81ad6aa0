import MartletWire

/// The deleting commands: one call, and what it broke.
enum Deletion {
    static func run(_ path: String, force: Bool, _ options: GlobalOptions) async throws {
        let answer: JSON = try await Connection.with(options) {
            try await $0.send(.DELETE, path + (force ? "?force=true" : ""))
        }
        try options.output.show(answer) { answer in
            let broken = answer["broken"]?.array?.compactMap(\.string) ?? []
            return (["deleted"] + broken.map { "  no longer works: \($0)" }).joined(separator: "\n")
        }
    }
}
