import ArgumentParser
import MartletWire

struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Read and verify the record of who did what.", subcommands: [List.self, Verify.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List entries, the newest first.")
        @Option(help: "Only entries before this number.") var before: Int?
        @OptionGroup var options: GlobalOptions

        func run() async throws {
            let page: Page<AuditRow> = try await Connection.with(options) {
                try await $0.get("/api/v1/audit" + (before.map { "?before=\($0)" } ?? ""))
            }
            try options.output.show(page) { page in
                var table = Table([">#", "TIME", "PROJECT", "KEY", "ACTION", "THING", "OUTCOME"])
                for row in page.data {
                    table.add([
                        String(row.sequence), Format.time(row.time), row.project, row.key, row.action, row.resource,
                        row.outcome,
                    ])
                }
                let more = page.hasMore ? "\nmore: martlet audit list --before \(page.data.last?.sequence ?? 0)" : ""
                return table.text + more
            }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Check the chain of hashes from the first entry on.")
        @OptionGroup var options: GlobalOptions

        private struct Verification: Codable {
            var rows: Int
            var firstBadSequence: Int?
            enum CodingKeys: String, CodingKey { case rows, firstBadSequence = "first_bad_sequence" }
        }

        func run() async throws {
            let answer: Verification = try await Connection.with(options) {
                try await $0.get("/api/v1/audit/verify")
            }
            try options.output.show(answer) { answer in
                answer.firstBadSequence.map { "the chain is broken at entry \($0)" }
                    ?? "the chain of \(Format.count(answer.rows)) entries is whole"
            }
            if answer.firstBadSequence != nil { throw ExitCode(65) }
        }
    }
}
