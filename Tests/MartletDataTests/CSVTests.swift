import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct CSVTests {
    private func report(_ name: String, _ bytes: [UInt8], _ csv: CSVConfig = CSVConfig()) throws -> DataReport {
        let scratch = try Scratch()
        return try DataProfile.profile(paths: [try scratch.write(name, bytes)], csv: csv)
    }

    private func report(_ text: String, _ csv: CSVConfig = CSVConfig()) throws -> DataReport {
        try report("table.csv", Array(text.utf8), csv)
    }

    @Test func `semicolons, decimal commas and thousands are inferred and reported`() throws {
        let report = try report("name;price;count\na;1.234,50;3\nb;2,25;\nc;-17,0;4\n")
        let dialect = try #require(report.sources[0].dialect)
        #expect(dialect.delimiter == ";")
        #expect(dialect.decimal == ",")
        #expect(dialect.thousands == ".")
        #expect(report.columns.map(\.type) == ["category", "number", "number"])
        #expect(report.columns[1].max == 1234.5)
        #expect(report.columns[1].min == -17)
        #expect(report.columns[2].missing == 1)
        #expect(report.columns[2].mean == 3.5)
    }

    @Test func `a comma between quoted thousands is not a decimal comma`() throws {
        let report = try report("a,b\n\"1,234\",2.5\n\"12,345,678\",3.5\n")
        #expect(report.sources[0].dialect?.thousands == ",")
        #expect(report.columns[0].max == 12_345_678)
        #expect(report.columns[1].max == 3.5)
    }

    @Test func `quoted cells hold delimiters, doubled quotes and line breaks`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "text,label\r\n\"a \"\"quoted\"\" word,\r\nnext line\",x\r\nplain,y\r\n")
        let profile = try DataProfile.profile(paths: [file])
        #expect(profile.rows == 2)
        #expect(
            profile.columns[0].values.map(\.value).sorted() == ["a \"quoted\" word,\r\nnext line", "plain"].sorted())
    }

    @Test func `a byte order mark, Chinese headers and GB18030 are read`() throws {
        let marked = try report("t.csv", [0xEF, 0xBB, 0xBF] + Array("姓名,分数\n张三,90\n李四,85\n".utf8))
        #expect(marked.columns.map(\.name) == ["姓名", "分数"])
        // "姓名,分数\n张三,90\n" in GB18030
        let bytes: [UInt8] =
            [0xD0, 0xD5, 0xC3, 0xFB, 0x2C, 0xB7, 0xD6, 0xCA, 0xFD, 0x0A]
            + [0xD5, 0xC5, 0xC8, 0xFD, 0x2C, 0x39, 0x30, 0x0A]
        let chinese = try report("雨燕.csv", bytes)
        #expect(chinese.sources[0].dialect?.encoding == "gb18030")
        #expect(chinese.columns.map(\.name) == ["姓名", "分数"])
        #expect(chinese.columns[0].values.first?.value == "张三")
    }

    @Test func `UTF-16 is recognised with and without a mark`() throws {
        let plain = Array("a,标签\n1,雨\n".utf16).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        #expect(try report("t.csv", [0xFF, 0xFE] + plain).columns.map(\.name) == ["a", "标签"])
        let ascii = Array("alpha,beta\n1,2\n3,4\n".utf16).flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }
        #expect(try report("t.csv", ascii).columns[1].mean == 3)
    }

    @Test func `words for missing are inferred where they stand among numbers`() throws {
        let report = try report("x,y\n1,a\n?,b\nNA,-\n4,c\n")
        #expect(report.columns[0].missing == 2)
        #expect(report.columns[0].mean == 2.5)
        #expect(report.sources[0].dialect?.missing.contains("?") == true)
        var csv = CSVConfig()
        csv.missing = ["4"]
        #expect(try self.report("x\n1\n4\n", csv).columns[0].missing == 1)
    }

    @Test func `tabs, pipes, one column, no header and old line ends`() throws {
        #expect(try report("a\tb\n1\t2\n").columns.map(\.name) == ["a", "b"])
        #expect(try report("a|b|c\n1|2|3\n").columns.count == 3)
        #expect(try report("x\n1\n2\n").columns[0].mean == 1.5)
        let bare = try report("1,2\r3,4\r")
        #expect(bare.columns.map(\.name) == ["column_1", "column_2"])
        #expect(bare.rows == 2)
        #expect(bare.columns[0].mean == 2)
    }

    @Test func `a file without a header whose first cells hold doubled quotes keeps its first row`() throws {
        let report = try report("\"a\"\"b\",1\n\"c\",2\n")
        #expect(report.rows == 2)
        #expect(report.columns[0].values.map(\.value).contains("a\"b"))
    }

    @Test func `the profile counts, ranges and bins as numpy does`() throws {
        let report = try report("x\n" + (0..<100).map { "\($0)\n" }.joined())
        let column = report.columns[0]
        #expect(column.count == 100)
        #expect(column.min == 0)
        #expect(column.max == 99)
        #expect(column.mean == 49.5)
        #expect(abs((column.standardDeviation ?? 0) - 28.866_070_047_722_118) < 1e-12)
        #expect(column.histogram?.counts == Array(repeating: 10, count: 10))
    }

    @Test func `numbers are read to the last bit`() {
        let format = NumberFormat()
        for text in [
            "0.1", "-2.5e-3", "1e22", "9007199254740993", "0.30000000000000004", "123456789012345678901234567890",
            "4.9406564584124654e-324", "1.7976931348623157e308", "+7", "5.", ".5", "3.141592653589793238462643",
        ] {
            let expected = Double(text.hasSuffix(".") ? text + "0" : text.hasPrefix(".") ? "0" + text : text)
            #expect(format.parse(text) == expected, "\(text)")
        }
        for text in ["", "-", "1e", "abc", "1.2.3", "0x10", "inf", "nan", "1e999", "1 2", "１"] {
            #expect(format.parse(text) == nil, "\(text)")
        }
        #expect(
            NumberFormat(decimal: UInt8(ascii: ","), thousands: UInt8(ascii: ".")).parse("1.234.567,5") == 1_234_567.5)
        #expect(NumberFormat(decimal: UInt8(ascii: ","), thousands: UInt8(ascii: ".")).parse("1.23.4") == nil)
    }
}

/// Bad files: each message names file, place and remedy.
@Suite struct BadInputTests {
    private func profile(_ name: String, _ bytes: [UInt8], _ csv: CSVConfig = CSVConfig()) throws {
        let scratch = try Scratch()
        _ = try DataProfile.profile(paths: [try scratch.write(name, bytes)], csv: csv)
    }

    @Test func `a missing file and an empty file`() throws {
        expectFault(.notFound, ["nowhere.csv", "check"]) { _ = try DataProfile.profile(paths: ["/tmp/nowhere.csv"]) }
        expectFault(.invalidData, ["empty.csv", "is empty"]) { try profile("empty.csv", []) }
        expectFault(.invalidData, ["blank.csv", "is empty"]) { try profile("blank.csv", Array("\n\n  \n".utf8)) }
        expectFault(.invalidData, ["head.csv", "no rows"]) { try profile("head.csv", Array("a,b\n".utf8)) }
    }

    @Test func `ragged rows`() {
        expectFault(.invalidData, ["t.csv, line 3", "3 cells", "2 columns"]) {
            try profile("t.csv", Array("a,b\n1,2\n1,2,3\n4,5\n".utf8))
        }
        expectFault(.invalidData, ["t.csv, line 4", "1 cells"]) {
            try profile("t.csv", Array("a,b\n1,2\n1,2\n4\n".utf8))
        }
    }

    @Test func `bytes of another encoding`() {
        // "é" in Latin-1 is neither UTF-8 nor GB18030 before a comma
        expectFault(.invalidData, ["t.csv, line 2", "E9 2C", "data.csv.encoding"]) {
            try profile("t.csv", Array("a,b\ncaf".utf8) + [0xE9, 0x2C, 0x31, 0x0A])
        }
        var csv = CSVConfig()
        csv.encoding = "gb18030"
        expectFault(.invalidData, ["t.csv, line 3", "gb18030"]) {
            try profile("t.csv", Array("a,b\n1,2\ncaf".utf8) + [0xE9, 0x2C, 0x31, 0x0A], csv)
        }
        csv.encoding = "utf-9"
        expectFault(.invalidRecipe, ["utf-9", "gb18030"]) { try profile("t.csv", Array("a,b\n1,2\n".utf8), csv) }
    }

    @Test func `text where a number must be`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("people.csv", "age,label\n31,a\n22,b\nabc,a\n")
        expectFault(.invalidData, ["people.csv, line 4", "column 'age'", "'abc' is not a number", "set type: text"]) {
            _ = try scratch.prepare(recipe([input("age", .number)], [output("label", .category)]), [file])
        }
    }

    @Test func `a value that is missing where none may be`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("people.csv", "age,label\n31,a\n,b\n")
        expectFault(.invalidData, ["people.csv, line 3", "column 'age'", "drop_missing or fill"]) {
            _ = try scratch.prepare(recipe([input("age", .number)], [output("label", .category)]), [file])
        }
    }

    @Test func `a column that is not there names the nearest one`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "income,label\n1,a\n2,b\n")
        expectFault(.invalidRecipe, ["inputs.incme", "'incme'", "did you mean 'income'?"]) {
            _ = try scratch.prepare(recipe([input("incme", .number)], [output("label", .category)]), [file])
        }
    }

    @Test func `a quotation mark that never closes, text after one, and two columns of one name`() {
        expectFault(.invalidData, ["line 3", "quotation mark"]) {
            try profile("t.csv", Array("a,b\n1,2\n\"x,3\n4,5\n".utf8))
        }
        expectFault(.invalidData, ["line 2", "closing quotation mark"]) {
            try profile("t.csv", Array("a,b\n\"x\"y,3\n".utf8))
        }
        expectFault(.invalidData, ["two columns have the name 'a'"]) { try profile("t.csv", Array("a,a\n1,2\n".utf8)) }
    }

    @Test func `a row of more than 64 MiB and more than 100,000 columns`() {
        expectFault(.tooLarge, ["line 2", "64 MiB"]) {
            try profile("t.csv", Array("a\n\"".utf8) + [UInt8](repeating: 0x61, count: (64 << 20) + 3_000_000))
        }
        expectFault(.tooLarge, ["line 1", "100,000 columns"]) {
            try profile("t.csv", [0x61] + [UInt8](repeating: 0x2C, count: 1_000_000) + [0x0A, 0x31, 0x0A])
        }
    }

    @Test func `pickles, arrays and archives are refused with the way out`() {
        for name in ["model.pkl", "x.npy", "data.parquet", "x.joblib", "book.xlsx", "a.zip"] {
            expectFault(.unsupportedFormat, [name, "CSV"]) { try profile(name, [1, 2, 3]) }
        }
        expectFault(.unsupportedFormat, ["t.csv", "pickle"]) { try profile("t.csv", [0x80, 0x04, 0x95, 0, 0, 0]) }
        expectFault(.unsupportedFormat, ["archive"]) { try profile("t.csv", [0x50, 0x4B, 3, 4, 0, 0]) }
    }

    @Test func `bad JSON lines name the line`() {
        expectFault(.invalidData, ["t.jsonl, line 2", "JSON"]) {
            try profile("t.jsonl", Array("{\"a\":1}\n{\"a\":}\n".utf8))
        }
        expectFault(.invalidData, ["t.jsonl, line 1", "a number", "object"]) {
            try profile("t.jsonl", Array("3\n".utf8))
        }
        expectFault(.invalidData, ["line 2", "UTF-8"]) {
            try profile("t.jsonl", Array("{\"a\":1}\n{\"a\":\"".utf8) + [0xFF] + Array("\"}\n".utf8))
        }
        expectFault(.invalidData, ["line 1", "deeper"]) {
            try profile("t.jsonl", Array(("{\"a\":" + String(repeating: "[", count: 10_000) + "\n").utf8))
        }
        expectFault(.tooLarge, ["line 2", "64 MiB"]) {
            try profile("t.jsonl", Array("{\"a\":1}\n{\"a\":\"".utf8) + [UInt8](repeating: 0x61, count: 66 << 20))
        }
    }

    @Test func `a label that training did not see`() throws {
        let scratch = try Scratch()
        let train = try scratch.write("train.csv", "x,label\n1,a\n2,b\n")
        let test = try scratch.write("test.csv", "x,label\n1,a\n2,鸟\n")
        expectFault(.invalidData, ["test.csv, line 3", "column 'label'", "'鸟'", "training"]) {
            _ = try scratch.prepare(
                recipe([input("x", .number)], [output("label", .category)]),
                ResolvedSources(train: [train], test: [test]))
        }
    }

    @Test func `settings that cannot be`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,label\n1,a\n2,b\n")
        func fault(_ parts: [String], _ change: (inout Recipe) -> Void) {
            expectFault(.invalidRecipe, parts) {
                _ = try scratch.prepare(recipe([input("x", .number)], [output("label", .category)], change), [file])
            }
        }
        fault(["data.split.folds", "1"]) { $0.data.split.folds = 1 }
        fault(["data.split.train"]) { $0.data.split.train = -1 }
        fault(["all 0"]) { $0.data.split.train = 0 }
        fault(["'nme'"]) { $0.data.clean = [.dropMissing(columns: ["nme"])] }
        fault(["delimiter", "ab"]) { $0.data.csv.delimiter = "ab" }
        fault(["audio"]) { $0.inputs[0].type = .audio }
    }
}
