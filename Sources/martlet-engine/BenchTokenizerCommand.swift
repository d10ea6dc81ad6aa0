import Foundation
import MartletText
import MartletWire

/// `bench-tokenizer TOKENIZER.json TEXT... [--repeat R]`: the least seconds that each text takes, as JSON lines.
enum BenchTokenizerCommand {
    static func run(_ arguments: [String]) throws {
        var files: [String] = []
        var repeats = 3
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--repeat" {
                guard let number = rest.popFirst().flatMap({ Int($0) }), number > 0 else {
                    throw MartletError(.usage, "--repeat needs a number of 1 or more")
                }
                repeats = number
            } else {
                files.append(argument)
            }
        }
        guard files.count > 1 else {
            throw MartletError(.usage, "bench-tokenizer needs a tokenizer.json and a text, each a file")
        }
        let tokenizer = try Tokenizer(json: bytes(files[0]))
        for file in files.dropFirst() {
            let text = String(decoding: try bytes(file), as: UTF8.self)
            var (best, count) = (Double.infinity, 0)
            for _ in 0..<repeats {
                let started = ContinuousClock.now
                count = try tokenizer.ids(of: text).count
                best = min(best, started.duration(to: .now) / .seconds(1))
            }
            let json: JSON = ["seconds": .double(best), "bytes": JSON(text.utf8.count), "tokens": JSON(count)]
            print(json.serialized())
        }
    }

    private static func bytes(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw MartletError(.notFound, "the file '\(path)' cannot be read")
        }
        return [UInt8](data)
    }
}
