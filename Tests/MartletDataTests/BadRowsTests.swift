import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

/// Rows that cannot be used are collected while the others are read, and memory stays bounded (M12).
@Suite struct BadRowsTests {
    private static let plan = recipe(
        [input("a", .number), input("b", .number)], [output("label", .category)],
        {
            $0.data.split.validation = 0.5; $0.data.split.train = 0.5
        })

    private func collect(
        _ scratch: Scratch, _ files: [String], _ plan: Recipe = Self.plan, limit: Int = BadRows.usualLimit
    ) -> (rows: BadRows, error: MartletError?) {
        let rows = BadRows(limit: limit)
        var error: MartletError?
        do {
            _ = try DataPipeline.prepare(
                plan, sources: ResolvedSources(all: files), cacheDirectory: scratch.path + "/cache",
                watch: ReadingWatch(badRows: rows))
        } catch let thrown as MartletError { error = thrown } catch { Issue.record(error) }
        return (rows, error)
    }

    @Test func `M12: every bad row of a CSV is kept with its place, column, value and reason`() throws {
        let scratch = try Scratch()
        var bytes = Array("a,b,label\n1,2,x\n3,4\n5,oops,y\n6,".utf8) + [0xFF, 0xFE] + Array(",x\n".utf8)
        bytes += Array("=cmd|' /C calc'!A0,7,x\n8,\"9\"z,y\n,1,x\n10,11,y\n12,13,x\n14,15,y\n".utf8)
        let file = try scratch.write("bad.csv", bytes)
        let (rows, error) = collect(scratch, [file])
        // The error is that of the first, as it was without the collection.
        #expect(error?.code == .invalidData)
        #expect(error?.message.contains("bad.csv, line 3: the row has 2 cells where the header has 3") == true)
        let entries = rows.entries
        #expect(entries.map(\.line) == [3, 4, 5, 6, 7, 8])
        #expect(entries.allSatisfy { $0.file == "bad.csv" })
        #expect(entries.map(\.column) == [nil, "b", "b", "a", nil, "a"])
        #expect(entries[0].value == "3,4")
        #expect(entries[1].value == "oops" && entries[1].reason.contains("is not a number"))
        #expect(entries[2].value == "\u{FFFD}\u{FFFD}" && entries[2].reason.contains("not UTF-8"))
        #expect(entries[3].value == "=cmd|' /C calc'!A0")
        #expect(entries[4].reason.contains("text follows the closing quotation mark"))
        #expect(entries[5].reason.contains("there is no value"))

        // A formula stays the text of a JSON string, which no spreadsheet runs.
        let path = scratch.path + "/bad-rows.jsonl"
        try rows.write(to: path)
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 6 && lines.allSatisfy { $0.hasPrefix("{") })
        #expect(try JSONParser.parse(String(lines[3]))["value"] == "=cmd|' /C calc'!A0")
    }

    @Test func `M12: without bad rows nothing changes`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("good.csv", "a,b,label\n" + (0..<40).map { "\($0),1,\($0 % 2)\n" }.joined())
        let (rows, error) = collect(scratch, [file])
        #expect(rows.isEmpty && error == nil)
    }

    @Test func `M12: reading stops at the stated number of bad rows`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("bad.csv", "a,b,label\n" + String(repeating: "1\n", count: 5000))
        let (rows, error) = collect(scratch, [file], limit: 100)
        #expect(rows.count == 100 && rows.isFull)
        #expect(rows.entries.last?.line == 101)
        #expect(error?.message.contains("line 2") == true)
    }

    @Test func `M12: a quotation mark that is never closed costs one row`() throws {
        let scratch = try Scratch()
        let rest = (0..<50).map { "\($0),1,\($0 % 2)\n" }.joined()
        let file = try scratch.write("open.csv", "a,b,label\n1,2,0\n\"3,4,1\n" + rest)
        let (rows, _) = collect(scratch, [file])
        #expect(rows.entries.map(\.line) == [3])
    }

    @Test func `M12: JSON lines that are broken, no objects, too wide or not UTF-8`() throws {
        let scratch = try Scratch()
        let wide = "{" + (0..<150_000).map { "\"k\($0)\":1" }.joined(separator: ",") + "}"
        var bytes = Array("{\"a\":1,\"b\":2,\"label\":\"x\"}\n{\"a\":1,\n[1]\n\(wide)\n".utf8)
        bytes += Array("{\"a\":1,\"b\":2,\"label\":\"".utf8) + [0xC3, 0x28] + Array("\"}\n".utf8)
        bytes += Array("{\"a\":\"x\",\"b\":2,\"label\":\"x\"}\n{\"a\":3,\"b\":4,\"label\":\"x\"}\n".utf8)
        bytes += Array("{\"a\":5,\"b\":6,\"label\":\"x\"}\n".utf8)
        let (rows, error) = collect(scratch, [try scratch.write("bad.jsonl", bytes)])
        #expect(error?.message.contains("bad.jsonl, line 2") == true)
        #expect(rows.entries.map(\.line) == [2, 3, 4, 5, 6])
        #expect(rows.entries[2].reason.contains("100,000 columns"))
        #expect(rows.entries[4].column == "a" && rows.entries[4].value == "x")
    }

    @Test func `M12: a line of 1 GB is passed over in bounded memory`() async throws {
        #if compiler(>=6.2)
            // In a process of its own, so that what other tests take at the time is not counted.
            await #expect(processExitsWith: .success) { try BadRowsTests().passOverAGigabyte() }
        #else
            try passOverAGigabyte()
        #endif
    }

    private func passOverAGigabyte() throws {
        let scratch = try Scratch()
        let path = scratch.path + "/huge.jsonl"
        let good = "{\"a\":1,\"b\":2,\"label\":\"x\"}\n"
        // A hole in the file takes no disk.
        try Data((good + "{\"a\":\"").utf8).write(to: URL(fileURLWithPath: path))
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.truncate(atOffset: 1 << 30)
        try file.seekToEnd()
        try file.write(contentsOf: Data(("\"}\n" + good + good).utf8))
        try file.close()
        let before = try Self.peakBytes()
        let (rows, error) = collect(scratch, [path])
        #expect(error?.code == .tooLarge)
        #expect(error?.message.contains("huge.jsonl, line 2: the line has more than 64 MiB") == true)
        #expect(rows.entries.map(\.line) == [2])
        #expect(rows.entries[0].value?.hasPrefix("{\"a\":\"") == true)
        // A buffer of 64 MiB and its copy while it grew.
        #expect(try Self.peakBytes() - before < 1 << 30)
    }

    @Test func `M12: a line of very many values is refused`() throws {
        let scratch = try Scratch()
        let good = "{\"a\":1,\"b\":2,\"label\":\"x\"}\n"
        let many = "{\"a\":[" + String(repeating: "0,", count: 5_000_000) + "0]}\n"
        let file = try scratch.write("many.jsonl", good + many + good + good)
        let (rows, _) = collect(scratch, [file])
        #expect(rows.entries.map(\.line) == [2])
        #expect(rows.entries[0].reason.contains("4,000,000 values"))
    }

    @Test func `M12: a list of very many values is refused, and many commas in a text are no values`() throws {
        let scratch = try Scratch()
        let row = "{\"a\":1,\"b\":2,\"label\":\"x\"}"
        let many = "[" + row + ",{\"a\":[" + String(repeating: "0,", count: 4_000_000) + "0]}]"
        let (_, error) = collect(scratch, [try scratch.write("many.json", many)])
        #expect(error?.code == .tooLarge)
        #expect(error?.message.contains("many.json: the list has more than 4,000,000 values") == true)

        let commas = "{\"a\":1,\"b\":2,\"label\":\"\\n" + String(repeating: ",", count: 5_000_000) + "\"}\n"
        let (rows, _) = collect(scratch, [try scratch.write("commas.jsonl", commas + row + "\n" + row + "\n")])
        #expect(rows.isEmpty)
    }

    @Test func `M12: every line of a text that is not UTF-8 is kept`() throws {
        let scratch = try Scratch()
        let poem = try scratch.write(
            "poem.txt", Array("one\nt".utf8) + [0xFF] + Array("\nthree\n\n".utf8) + [0xC3, 0x28, 0x0A, 0x6C, 0xE9])
        let second = try scratch.write("second.txt", [0x61, 0xFF, 0x62])
        func documents(_ watch: ReadingWatch) throws -> Documents {
            try Documents(ResolvedSources(all: [poem, second]), column: "text", csv: CSVConfig(), watch: watch)
        }
        let rows = BadRows()
        var text = ""
        expectFault(.invalidData, ["poem.txt, line 2: the bytes FF are not UTF-8", "data.csv.encoding"]) {
            try documents(ReadingWatch(badRows: rows)).forEach { text += $0.text }
        }
        #expect(text == "one\nthree\n\n")
        #expect(rows.entries.map(\.file) == ["poem.txt", "poem.txt", "poem.txt", "second.txt"])
        #expect(rows.entries.map(\.line) == [2, 5, 6, 1])
        #expect(rows.entries[0].value == "t\u{FFFD}" && rows.entries[1].reason.contains("C3 28"))
        // Without a list the first one ends the reading.
        expectFault(.invalidData, ["poem.txt, line 2"]) { try documents(ReadingWatch()).forEach { _ in } }
    }

    @Test func `M12: bad lines far into a long text have their numbers`() throws {
        let scratch = try Scratch()
        let line = Array((String(repeating: "swift ", count: 20) + "\n").utf8)
        var bytes: [UInt8] = []
        for number in 1...200_000 { bytes += [100_000, 150_000, 199_999].contains(number) ? [0xFE, 0x0A] : line }
        let file = try scratch.write("long.txt", bytes)
        let rows = BadRows()
        let documents = try Documents(
            ResolvedSources(all: [file]), column: "text", csv: CSVConfig(), watch: ReadingWatch(badRows: rows))
        var parts = 0
        expectFault(.invalidData, ["long.txt, line 100000"]) { try documents.forEach { _ in parts += 1 } }
        #expect(rows.entries.map(\.line) == [100_000, 150_000, 199_999])
        #expect(parts == 3)
    }

    @Test func `M12: a text of another encoding ends where its bytes do not belong to it`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("poem.txt", [0xBA, 0xC3, 0x0A, 0xBA, 0xC3, 0x0A, 0xFF, 0x0A, 0xBA, 0xC3, 0x0A])
        var csv = CSVConfig()
        csv.encoding = "gb18030"
        let rows = BadRows()
        let documents = try Documents(
            ResolvedSources(all: [file]), column: "text", csv: csv, watch: ReadingWatch(badRows: rows))
        expectFault(.invalidData, ["poem.txt, line 3: the bytes are not gb18030"]) { try documents.forEach { _ in } }
        #expect(rows.entries.map(\.line) == [3])
    }

    @Test func `M12: a million columns are refused with their line`() throws {
        let scratch = try Scratch()
        let header = (0..<1_000_000).map { "c\($0)" }.joined(separator: ",") + "\n1\n"
        let (_, error) = collect(scratch, [try scratch.write("wide.csv", header)])
        #expect(error?.code == .tooLarge)
        #expect(error?.message.contains("line 1: the row has more than 100,000 columns") == true)
    }

    @Test func `M12: Parquet is refused by name and by content, and never unpacked`() throws {
        let scratch = try Scratch()
        let bomb = Array("PAR1".utf8) + [UInt8](repeating: 0xFF, count: 4096) + Array("PAR1".utf8)
        for name in ["bomb.parquet", "bomb.csv"] {
            let (_, error) = collect(scratch, [try scratch.write(name, bomb)])
            #expect(error?.code == .unsupportedFormat)
            #expect(error?.message.contains("Parquet") == true)
        }
    }

    @Test func `a gzip file that is cut short is one fault and not an endless loop`() throws {
        let scratch = try Scratch()
        let process = Process()
        let plain = try scratch.write("cut.csv", "a,b,label\n" + (0..<200_000).map { "\($0),\($0),x\n" }.joined())
        process.executableURL = URL(fileURLWithPath: "/bin/gzip")
        process.arguments = [plain]
        try process.run()
        process.waitUntilExit()
        let file = try #require(FileHandle(forUpdatingAtPath: plain + ".gz"))
        try file.truncate(atOffset: try file.seekToEnd() / 2)
        try file.close()
        let (rows, error) = collect(scratch, [plain + ".gz"])
        #expect(rows.count == 1)
        #expect(error?.message.contains("damaged or cut short") == true)
    }

    @Test func `a stop ends the reading between rows`() throws {
        struct Stop: Error {}
        let scratch = try Scratch()
        let file = try scratch.write("long.csv", "a,b,label\n" + (0..<5000).map { "\($0),1,x\n" }.joined())
        var asked = 0
        #expect(throws: Stop.self) {
            _ = try DataPipeline.prepare(
                Self.plan, sources: ResolvedSources(all: [file]), cacheDirectory: scratch.path + "/cache",
                watch: ReadingWatch {
                    asked += 1
                    if asked == 5 { throw Stop() }
                })
        }
        #expect(asked == 5)
    }

    /// The most memory that the process has had.
    private static func peakBytes() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return (Int(line.split(whereSeparator: { $0 == " " || $0 == "\t" })[1]) ?? 0) << 10
    }
}
