import MartletData
import MartletTesting
import MartletWire
import Testing

/// Text files without a byte among others.
@Suite struct EmptyTextTests {
    private func folder(_ scratch: Scratch, _ files: [(String, String)]) throws -> String {
        for (name, text) in files { try scratch.write("texts/" + name, text) }
        return scratch.path + "/texts"
    }

    @Test func `an empty text is no document, and that is told`() throws {
        let scratch = try Scratch()
        let path = try folder(scratch, [("a.txt", "one\n"), ("b.txt", ""), ("c.txt", "three\n"), ("d.txt", "")])
        let documents = try Documents(ResolvedSources(all: [path]), column: "text", csv: CSVConfig())
        var texts: [Int: String] = [:]
        try documents.forEach { texts[$0.document, default: ""] += $0.text }
        #expect(texts == [0: "one\n", 1: "three\n"])
        #expect(documents.sourceNames == ["a.txt", "c.txt"])

        let remark = "2 files are empty and are left out: b.txt, d.txt"
        let data = try TokenData.prepare(
            documents, config: SplitConfig(), cacheDirectory: scratch.path + "/cache", end: 0
        ) { $0.utf8.map { Int($0) } }
        #expect(data.documentCount == 2 && data.remarks.first == remark)
        let report = try DataProfile.profile(paths: [path])
        #expect(report.rows == 2 && report.warnings == [remark])
        #expect(report.sources.map(\.name) == ["a.txt", "c.txt"])
    }

    @Test func `an empty file given beside others is left out too`() throws {
        let scratch = try Scratch()
        let files = [try scratch.write("a.txt", "one\ntwo\n"), try scratch.write("b.txt", "")]
        let report = try DataProfile.profile(paths: files)
        #expect(report.rows == 2 && report.warnings == ["1 file is empty and is left out: b.txt"])
    }

    @Test func `texts that are all empty are refused`() throws {
        let scratch = try Scratch()
        let path = try folder(scratch, [("a.txt", ""), ("b.txt", "")])
        expectFault(.invalidData, ["a.txt", "is empty"]) { _ = try DataProfile.profile(paths: [path]) }
        expectFault(.invalidData, ["a.txt", "is empty"]) {
            _ = try Documents(ResolvedSources(all: [path + "/a.txt"]), column: "text", csv: CSVConfig())
        }
    }
}
