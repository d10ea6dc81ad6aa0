import ArgumentParser
import MartletWire

struct Usage: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show what was used, by hour, project, key and thing.")
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let page: Page<UsageRow> = try await Connection.with(options) { try await $0.get("/api/v1/usage") }
        try options.output.show(page) { page in
            var table = Table([
                "HOUR", "PROJECT", "KEY", "KIND", "THING", ">REQUESTS", ">ROWS", ">TOKENS IN", ">OUT", ">CPU",
            ])
            for row in page.data {
                table.add([
                    Format.time(row.hour), row.project, row.key, row.kind, row.resource, Format.count(row.requests),
                    Format.count(row.rows), Format.count(row.promptTokens), Format.count(row.completionTokens),
                    Format.seconds(row.cpuSeconds),
                ])
            }
            return table.isEmpty ? "nothing was used yet" : table.text
        }
    }
}
