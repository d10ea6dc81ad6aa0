import ArgumentParser
import MartletWire

struct GC: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what takes the disk, by project and kind; remove what nothing refers to.")
    @Flag(name: .customLong("dry-run"), help: "Remove nothing.") var dryRun = false
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let report: GarbageReport = try await Connection.with(options) {
            try await $0.send(.POST, "/api/v1/gc", ["dry_run": dryRun])
        }
        try options.output.show(report) { report in
            var table = Table(["PROJECT", "KIND", ">COUNT", ">SIZE"])
            for row in report.rows {
                table.add([row.project, row.kind, Format.count(row.count), Format.bytes(row.byteCount)])
            }
            let verb = report.isDryRun ? "would remove" : "removed"
            return table.text + "\n\(verb) \(report.removedCount) files, \(Format.bytes(report.removedBytes))"
        }
    }
}
