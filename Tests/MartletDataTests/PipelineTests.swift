import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct PipelineTests {
    @Test func `a table goes from CSV to numbers and a request is treated the same way`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("雨燕.csv", "年龄,color,标签\n1,red,雨燕\n2,blue,麻雀\n3,red,雨燕\n6,green,麻雀\n")
        let data = try scratch.prepare(
            recipe([input("年龄", .number), input("color", .category)], [output("标签", .category)]), [file])
        let batch = try data.train.all()
        // mean 3, population deviation sqrt(14/4)
        let s = Float(3.5).squareRoot()
        expectClose(batch.floats("年龄"), [-2 / s, -1 / s, 0, 3 / s])
        #expect(batch.ints("color") == [3, 1, 3, 2])
        #expect(batch.ints("标签") == [0, 1, 0, 1])
        #expect(data.validation.count == 0)
        let again = try data.train.batch(rows: [3, 0])
        expectClose(again.floats("年龄"), [3 / s, -2 / s])
        #expect(again.ints("color") == [2, 3])

        let saved = scratch.path + "/preprocessing.json"
        try data.preprocessing.encoded().write(to: URL(fileURLWithPath: saved))
        let serving = try Preprocessing.read(from: saved)
        #expect(serving == data.preprocessing)
        let request = try serving.encode(rows: [
            ["年龄": 6, "color": "violet", "标签": "?"], ["年龄": "2", "color": "blue"],
        ])
        expectClose(request.floats("年龄"), [3 / s, -1 / s])
        #expect(request.ints("color") == [0, 1])
        #expect(request.features.count == 2)
    }

    @Test func `encoded rows outlive a second pass into the same folder`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,y\n1,0\n2,1\n")
        let plan = recipe(
            [input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("y", .number)])
        let cache = scratch.path + "/cache"
        let first = try DataPipeline.prepare(plan, sources: .init(all: [file]), cacheDirectory: cache)
        try scratch.write("t.csv", "x,y\n3,0\n")
        let second = try DataPipeline.prepare(plan, sources: .init(all: [file]), cacheDirectory: cache)
        #expect(try first.train.all().floats("x") == [1, 2])
        #expect(try second.train.all().floats("x") == [3])
        #expect(first.train.byteCount == 16)
        #expect(throws: MartletError.self) { try second.train.batch(rows: [1]) }
    }

    @Test func `files with the same header in any order are one table`() throws {
        let scratch = try Scratch()
        try scratch.write("t/a.csv", "x,y\n1,a\n")
        try scratch.write("t/b.csv", "y,x\nb,2\n")
        try scratch.write("t/README.md", "about")
        let plan = recipe(
            [input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("y", .category)])
        let data = try scratch.prepare(plan, [scratch.path + "/t"])
        #expect(try data.train.all().floats("x") == [1, 2])
        #expect(data.report.sources.map(\.rows) == [1, 1])
        try scratch.write("t/c.csv", "x,z\n1,2\n")
        expectFault(.invalidData, ["c.csv", "x, z"]) { _ = try scratch.prepare(plan, [scratch.path + "/t"]) }
        expectFault(.invalidData, ["empty", "holds no data"]) {
            try FileManager.default.createDirectory(atPath: scratch.path + "/empty", withIntermediateDirectories: true)
            _ = try scratch.prepare(plan, [scratch.path + "/empty"])
        }
    }

    @Test func `nothing of validation and test is learnt`() throws {
        let scratch = try Scratch()
        let train = try scratch.write("train.csv", "x,text,y\n0,alpha,0\n2,beta,0\n")
        let test = try scratch.write("test.csv", "x,text,y\n1000,gamma,1\n")
        let data = try scratch.prepare(
            recipe([input("x", .number), input("text", .text) { $0.maxLength = 1 }], [output("y", .number)]),
            ResolvedSources(train: [train], test: [test]))
        #expect(data.preprocessing.features[0].offset == [1])
        #expect(data.preprocessing.features[1].categories == ["alpha", "beta"])
        #expect(try data.test.all().floats("x") == [999])
        #expect(try data.test.all().ints("text") == [1])
    }

    @Test func `other data is encoded by what training learnt`() throws {
        let scratch = try Scratch()
        let train = try scratch.write("a.csv", "x,price,y\n0,10,b\n2,30,a\n,20,a\n")
        let plan = recipe([input("x", .number)], [output("price", .number), output("y", .category)]) {
            $0.data.clean = [.fill(columns: ["x"], with: .mean)]
        }
        let data = try scratch.prepare(plan, [train])
        let other = try scratch.write("b.csv", "y,x,price\nb,3,20\nb,,40\n")
        let (rows, report) = try DataPipeline.encode(
            paths: [other], csv: CSVConfig(), preprocessing: data.preprocessing, cacheDirectory: scratch.path + "/c")
        let batch = try rows.all()
        let s = Float(2.0 / 3).squareRoot()
        expectClose(batch.floats("x"), [2 / s, 0])
        #expect(batch.ints("y") == [1, 1])
        #expect(report.cleaning[0].cellsChanged == 1)
        for (value, expected) in zip(data.preprocessing.original("price", batch.floats("price")), [20.0, 40]) {
            #expect(abs(value - expected) < 1e-5)
        }
        #expect(data.preprocessing.labels(of: "y") == ["a", "b"])
        #expect(data.preprocessing.labels(of: "price").isEmpty)
        let bad = try scratch.write("bad.csv", "y,x,price\nc,3,20\n")
        expectFault(.invalidData, ["bad.csv, line 2", "'c'"]) {
            _ = try DataPipeline.encode(
                paths: [bad], csv: CSVConfig(), preprocessing: data.preprocessing, cacheDirectory: scratch.path + "/c")
        }
    }
}
