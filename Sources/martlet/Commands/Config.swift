import ArgumentParser
import Foundation
import MartletPlatform
import MartletWire

struct Config: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print the whole configuration with defaults and where each value came from.")
    @OptionGroup var settings: ServeOptions
    @OptionGroup var options: GlobalOptions

    private struct Row: Encodable {
        var key: String
        var value: JSON
        var origin: Configuration.Origin
    }

    func run() async throws {
        let rows = try settings.load(home: options.homePath).rows().map {
            Row(key: $0.key, value: $0.value, origin: $0.origin)
        }
        try options.output.show(rows) { rows in
            var table = Table(["KEY", "VALUE", "FROM"])
            for row in rows { table.add([row.key, row.value.serialized(), row.origin.rawValue]) }
            return table.text
        }
    }
}
