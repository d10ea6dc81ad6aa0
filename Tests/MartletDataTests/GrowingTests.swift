import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

/// Files are read in several passes: one that grew meanwhile has rows of which nobody decided where they go.
@Suite struct GrowingTests {
    private static func append(_ text: String, to path: String) throws {
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
    }

    @Test func `a table that grows between passes ends its preparation`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,y\n1,a\n2,b\n3,a\n")
        let plan = recipe([input("x", .number)], [output("y", .category)])
        func prepare(_ grows: Bool) throws -> PreparedData {
            try DataPipeline.prepare(
                plan, sources: .init(all: [file]), cacheDirectory: scratch.path + "/cache-\(grows)"
            ) { phase in
                if grows, phase.hasPrefix("encoding") { try? Self.append("4,b\n", to: file) }
            }
        }
        #expect(try prepare(false).train.count == 3)
        let error = #expect(throws: MartletError.self) { try prepare(true) }
        #expect(error?.code == .invalidData)
        #expect(error?.message.contains("t.csv grew") == true, "\(error?.message ?? "")")
        // What came late is there from the start now.
        #expect(try prepare(false).train.count == 4)
    }

    @Test func `texts that grow between passes end their preparation`() throws {
        let scratch = try Scratch()
        let first = try scratch.write("a.jsonl", #"{"text":"one"}"# + "\n")
        let second = try scratch.write("b.jsonl", #"{"text":"two"}"# + "\n")
        var split = SplitConfig()
        (split.train, split.validation, split.test) = (1, 0, 0)
        func prepare(_ grows: Bool) throws -> TokenData {
            let documents = try Documents(.init(all: [first, second]), column: "text", csv: CSVConfig())
            return try TokenData.prepare(
                documents, config: split, cacheDirectory: scratch.path + "/cache-\(grows)", end: nil
            ) { text in
                // The second file is still to be read in this pass.
                if grows, text == "one" { try Self.append(#"{"text":"three"}"# + "\n", to: second) }
                return text.utf8.map { Int($0) }
            }
        }
        #expect(try prepare(false).train.count == 6)
        let error = #expect(throws: MartletError.self) { try prepare(true) }
        #expect(error?.code == .invalidData && error?.message.contains("grew while") == true, "\(error?.message ?? "")")
        #expect(try prepare(false).documentCount == 3)
    }
}
