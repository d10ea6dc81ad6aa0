import MartletData
import MartletTesting
import MartletWire
import Testing

/// Text files without a byte, and folders, among others.
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

    @Test func `texts that come split are not divided again`() throws {
        let scratch = try Scratch()
        let train = try scratch.write("train.txt", String(repeating: "a", count: 100))
        let validation = try scratch.write("validation.txt", String(repeating: "b", count: 10))
        func data(_ sources: ResolvedSources) throws -> TokenData {
            try TokenData.prepare(
                Documents(sources, column: "text", csv: CSVConfig()), config: SplitConfig(),
                cacheDirectory: scratch.path + "/cache", end: nil
            ) { $0.utf8.map { Int($0) } }
        }
        let given = try data(ResolvedSources(train: [train], validation: [validation]))
        #expect([given.train.count, given.validation.count, given.test.count] == [100, 10, 0])
        #expect(given.remarks.isEmpty)
        let divided = try data(ResolvedSources(all: [train]))
        #expect([divided.train.count, divided.validation.count, divided.test.count] == [80, 10, 10])
        #expect(
            divided.remarks == [
                "too few documents for a test share of 0.1: the last 10 training tokens are held out instead",
                "too few documents for a validation share of 0.1: the last 10 training tokens are held out instead",
            ])
        let tiny = try data(ResolvedSources(all: [try scratch.write("tiny.txt", "abc")]))
        #expect(tiny.train.count == 3 && tiny.remarks.isEmpty)
    }

    @Test func `texts beside JSON lines are documents of a language model`() throws {
        let scratch = try Scratch()
        let files = [
            ("a.txt", "one\n"), ("talk.jsonl", "{\"text\": \"two\", \"who\": \"x\"}\n{\"text\": \"three\"}\n"),
            ("z.md", "four\n"), ("README.md", "About the texts.\n"), ("LICENSE.txt", "Free.\n"),
        ]
        let path = try folder(scratch, files)
        func texts(_ sources: ResolvedSources) throws -> [String] {
            var texts: [String] = []
            try Documents(sources, column: "text", csv: CSVConfig()).forEach { texts.append($0.text) }
            return texts
        }
        #expect(try texts(ResolvedSources(all: [path])) == ["two", "three", "one\n", "four\n"])
        #expect(
            try texts(ResolvedSources(all: [path + "/a.txt", path + "/talk.jsonl"])) == ["one\n", "two", "three"])
        // Where the tables come split, what lies beside them is about them.
        let split = try scratch.write("split/train.jsonl", "{\"text\": \"two\"}\n")
        try scratch.write("split/test.jsonl", "{\"text\": \"three\"}\n")
        try scratch.write("split/about.txt", "About the texts.\n")
        #expect(try texts(ResolvedSources(all: [scratch.path + "/split"])).sorted() == ["three", "two"], "\(split)")
        // Rows are of one kind.
        #expect(try DataProfile.profile(paths: [path]).sources.map(\.name) == ["talk.jsonl"])
    }

    @Test func `an empty file given beside others is left out too`() throws {
        let scratch = try Scratch()
        let files = [try scratch.write("a.txt", "one\ntwo\n"), try scratch.write("b.txt", "")]
        let report = try DataProfile.profile(paths: files)
        #expect(report.rows == 2 && report.warnings == ["1 file is empty and is left out: b.txt"])
    }

    @Test func `folders beside the files are told with what they hold`() throws {
        let scratch = try Scratch()
        let files = [
            "a.txt", "b.txt", "old/c.txt", "more/d.txt", "more/deep/e.txt", "more/.hidden", ".git/config",
            "pictures/a.png",
        ]
        let path = try folder(scratch, files.map { ($0, "one\n") })
        try scratch.write("texts/nothing/.hidden", "")
        let remark =
            "2 folders beside the files are left out: more (2 files), old (1 file); put their files beside the others, or "
            + "add each folder as a dataset and name all of them in data.source"
        let documents = try Documents(ResolvedSources(all: [path]), column: "text", csv: CSVConfig())
        #expect(documents.remarks == [remark] && documents.sourceNames == ["a.txt", "b.txt"])
        #expect(try DataProfile.profile(paths: [path]).warnings == [remark])

        // A folder that comes split: its parts' own folders.
        for name in ["train/a.jsonl", "test/b.jsonl", "train/old/c.jsonl"] {
            try scratch.write("split/" + name, "{\"text\": \"two\"}\n")
        }
        let split = try DataProfile.profile(paths: [scratch.path + "/split"])
        #expect(split.sources.map(\.name) == ["test/b.jsonl", "train/a.jsonl"])
        #expect(split.warnings.first?.hasPrefix("1 folder beside the files is left out: train/old (1 file);") == true)
        // Lines that a model is tuned on.
        let lines = try ExampleFiles([scratch.path + "/split/train"])
        #expect(lines.names == ["a.jsonl"])
        #expect(lines.remarks.first?.hasPrefix("1 folder beside the files is left out: old (1 file);") == true)
        // Where there are folders only, the refusal says when those are read.
        try scratch.write("only/x/a.txt", "one\n")
        expectFault(.invalidData, ["only", "Its folders (x)", "train, validation or test"]) {
            _ = try DataProfile.profile(paths: [scratch.path + "/only"])
        }
        expectFault(.invalidData, ["holds folders and no file"]) { _ = try ExampleFiles([scratch.path + "/only"]) }
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
