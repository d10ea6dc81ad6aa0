import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct CleaningTests {
    private let table = "id,age,city\n1,10,a\n2,,b\n3,30,\n4,20,a\n4,20,a\n5,200,A\n"

    private func prepare(_ steps: [CleanStep], _ inputs: [InputConfig], text: String? = nil) throws -> PreparedData {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", text ?? table)
        return try scratch.prepare(
            recipe(inputs, [output("id", .number) { $0.normalize = InputConfig.Normalization.none }]) {
                $0.data.clean = steps
            }, [file])
    }

    private func raw(_ name: String) -> InputConfig {
        input(name, .number) { $0.normalize = InputConfig.Normalization.none }
    }

    @Test func `rows with a missing value go, and the report says how many`() throws {
        let data = try prepare([.dropMissing(columns: ["age"])], [raw("age")])
        #expect(try data.train.all().floats("id") == [1, 3, 4, 4, 5])
        #expect(data.report.cleaning.map(\.step) == ["drop_missing age"])
        #expect(data.report.cleaning.map(\.rowsRemoved) == [1])
        #expect(try prepare([.dropMissing(columns: [])], [raw("age")]).train.count == 4)
    }

    @Test func `missing cells are filled with mean, median, mode, a constant or the value before`() throws {
        func ages(_ with: CleanStep.Fill) throws -> [Float] {
            try prepare([.fill(columns: ["age"], with: with)], [raw("age")]).train.all().floats("age")
        }
        #expect(try ages(.mean) == [10, 56, 30, 20, 20, 200])
        #expect(try ages(.median) == [10, 20, 30, 20, 20, 200])
        #expect(try ages(.mode) == [10, 20, 30, 20, 20, 200])
        #expect(try ages(.constant("7")) == [10, 7, 30, 20, 20, 200])
        #expect(try ages(.forward) == [10, 10, 30, 20, 20, 200])
        let city = try prepare([.fill(columns: ["city"], with: .mode)], [input("city", .category)])
        #expect(city.preprocessing.features[0].categories == ["A", "a", "b"])
        #expect(try city.train.all().ints("city") == [2, 3, 2, 2, 2, 1])
    }

    @Test func `duplicates, clipping, replacing and casting`() throws {
        let unique = try prepare([.dropDuplicates(columns: [])], [input("city", .category)])
        #expect(try unique.train.all().floats("id") == [1, 2, 3, 4, 5])
        #expect(unique.report.cleaning[0].rowsRemoved == 1)
        let cities = try prepare([.dropDuplicates(columns: ["city"])], [input("city", .category)])
        #expect(try cities.train.all().floats("id") == [1, 2, 3, 5])
        let clipped = try prepare(
            [.dropMissing(columns: ["age"]), .clip(columns: ["age"], low: 15, high: 25.5)], [raw("age")])
        #expect(try clipped.train.all().floats("age") == [15, 25.5, 20, 20, 25.5])
        #expect(clipped.report.cleaning[1].cellsChanged == 3)
        let replaced = try prepare(
            [.replace(columns: ["city"], values: ["A": "a", "b": ""])], [input("city", .category)])
        #expect(replaced.preprocessing.features[0].categories == ["a"])
        #expect(replaced.report.cleaning[0].cellsChanged == 2)
        let cast = try prepare(
            [.cast(columns: ["x"], to: .number), .dropMissing(columns: ["x"])], [raw("x")],
            text: "id,x\n1,5\n2,five\n3,6\n")
        #expect(try cast.train.all().floats("x") == [5, 6])
        #expect(cast.report.cleaning[0].cellsChanged == 1)
    }

    @Test func `what is filled in is learnt from the training rows alone`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,y\n1,0\n3,0\n,0\n100,0\n")
        let data = try scratch.prepare(
            recipe([raw("x")], [output("y", .number)]) {
                $0.data.clean = [.fill(columns: ["x"], with: .mean)]
                $0.data.split.train = 0.5
                $0.data.split.validation = 0.25
                $0.data.split.test = 0.25
            }, [file])
        #expect(try data.train.all().floats("x") == [1, 3])
        #expect(try data.validation.all().floats("x") == [2])
        #expect(try data.test.all().floats("x") == [100])
    }

    @Test func `serving cleans a request as training cleaned its rows`() throws {
        let data = try prepare(
            [
                .replace(columns: ["city"], values: ["A": "a"]), .fill(columns: ["age"], with: .median),
                .clip(columns: ["age"], low: nil, high: 50), .dropMissing(columns: []), .dropDuplicates(columns: []),
            ], [raw("age"), input("city", .category)])
        let batch = try data.preprocessing.encode(rows: [
            ["age": 70, "city": "A"], ["city": "b"], ["age": nil, "city": "a"], ["age": "", "city": "a"],
        ])
        #expect(batch.floats("age") == [50, 20, 20, 20])
        #expect(batch.ints("city") == [1, 2, 1, 1])
    }

    @Test func `a step that cannot be done names its column`() throws {
        expectFault(.invalidData, ["t.csv, line 2", "column 'city'", "no mean"]) {
            _ = try prepare([.fill(columns: ["city"], with: .mean)], [raw("age")])
        }
        expectFault(.invalidData, ["column 'x'", "no value"]) {
            _ = try prepare([.fill(columns: ["x"], with: .mean)], [raw("id")], text: "id,x\n1,\n2,\n")
        }
        expectFault(.invalidData, ["line 2", "'city'", "clip"]) {
            _ = try prepare([.clip(columns: ["city"], low: 0, high: 1)], [raw("id")])
        }
    }
}

@Suite struct SplitTests {
    private func prepare(_ rows: Int, fold: Int? = nil, _ change: (inout SplitConfig) -> Void) throws -> PreparedData {
        let scratch = try Scratch()
        var text = "x,label,part\n"
        for row in 0..<rows {
            let part = row % 10 == 0 ? "test" : row % 10 == 1 ? "val" : "train"
            text += "\(row),\(row % 5 == 0 ? "rare" : "common"),\(part)\n"
        }
        let file = try scratch.write("t.csv", text)
        let plan = recipe(
            [input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("label", .category)]
        ) {
            $0.data.split = SplitConfig()
            change(&$0.data.split)
        }
        return try scratch.prepare(plan, [file], fold: fold)
    }

    private func rows(_ part: EncodedRows) throws -> [Float] { try part.all().floats("x") }

    @Test func `counts are exact, parts do not overlap, and a seed gives the same rows again`() throws {
        let data = try prepare(150) { _ in }
        #expect(data.report.splits == ["train": 120, "validation": 15, "test": 15])
        let all = try rows(data.train) + rows(data.validation) + rows(data.test)
        #expect(all.sorted() == (0..<150).map(Float.init))
        #expect(try rows(data.test) != (135..<150).map(Float.init))
        #expect(try rows(prepare(150) { _ in }.test) == rows(data.test))
        #expect(try rows(prepare(150) { $0.seed = 8 }.test) != rows(data.test))
    }

    @Test func `a random split takes rows from everywhere`() throws {
        let test = try rows(
            prepare(2000) {
                $0.test = 0.5; $0.train = 0.5; $0.validation = 0
            }.test)
        for quarter in 0..<4 {
            let count = test.count { Int($0) / 500 == quarter }
            #expect((200...300).contains(count))
        }
    }

    @Test func `sequential order, by column and stratified`() throws {
        let sequential = try prepare(10) {
            $0.order = .sequential; $0.train = 0.8; $0.validation = 0.2; $0.test = 0
        }
        #expect(try rows(sequential.train) == (0..<8).map(Float.init))
        #expect(try rows(sequential.validation) == [8, 9])
        let by = try prepare(40) { $0.by = "part" }
        #expect(try rows(by.test) == [0, 10, 20, 30])
        #expect(try rows(by.validation) == [1, 11, 21, 31])
        let stratified = try prepare(100) { $0.stratify = "label" }
        #expect(try stratified.test.all().ints("label").count { $0 == 1 } == 2)
        #expect(try stratified.validation.all().ints("label").count { $0 == 1 } == 2)
        expectFault(.invalidData, ["t.csv, line 2", "'rare'", "train, validation or test"]) {
            _ = try prepare(10) { $0.by = "label" }
        }
    }

    /// 20 labels of `rows` rows each.
    private func labelled(_ rows: Int, fold: Int? = nil, _ change: (inout SplitConfig) -> Void) throws -> PreparedData {
        let scratch = try Scratch()
        let text = (0..<20 * rows).map { "\($0),l\($0 % 20)\n" }.joined()
        let plan = recipe([input("x", .number)], [output("label", .category)]) {
            $0.data.split = SplitConfig()
            $0.data.split.stratify = "label"
            change(&$0.data.split)
        }
        return try scratch.prepare(plan, [try scratch.write("t.csv", "x,label\n" + text)], fold: fold)
    }

    @Test func `many labels of a few rows each leave no split without its share`() throws {
        let data = try labelled(5) { _ in }
        #expect(data.report.splits == ["train": 80, "validation": 10, "test": 10])
        for split in [data.train, data.validation, data.test] {
            // No label has more in a split than its share rounded up.
            var counts: [Int64: Int] = [:]
            for label in try split.all().ints("label") { counts[label, default: 0] += 1 }
            #expect((counts.values.max() ?? 0) <= (split.count == 80 ? 4 : 1))
        }
        for fold in 0..<5 { #expect(try labelled(3, fold: fold) { $0.folds = 5 }.validation.count == 12) }
    }

    @Test func `more folds than rows are refused`() throws {
        expectFault(.invalidData, ["data.split.folds is 12", "10 rows"]) {
            _ = try prepare(10, fold: 0) { $0.folds = 12 }
        }
    }

    @Test func `folds cover every row once, and without a fold all rows train`() throws {
        var seen: [Float] = []
        for fold in 0..<3 {
            let data = try prepare(10, fold: fold) { $0.folds = 3 }
            #expect(data.train.count + data.validation.count == 10)
            seen += try rows(data.validation)
        }
        #expect(seen.sorted() == (0..<10).map(Float.init))
        #expect(try prepare(10) { $0.folds = 3 }.train.count == 10)
    }

    @Test func `parts that come split stay so, and the rest is divided`() throws {
        let scratch = try Scratch()
        let train = try scratch.write("train.csv", "x,y\n" + (0..<90).map { "\($0),1\n" }.joined())
        let test = try scratch.write("test.csv", "x,y\n" + (90..<100).map { "\($0),1\n" }.joined())
        let plan = recipe(
            [input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("y", .number)]
        ) { $0.data.split = SplitConfig() }
        let data = try scratch.prepare(plan, ResolvedSources(train: [train], test: [test]))
        #expect(data.report.splits == ["train": 80, "validation": 10, "test": 10])
        #expect(try rows(data.test) == (90..<100).map(Float.init))
        let folder = try scratch.prepare(plan, [scratch.path])
        #expect(try rows(folder.test) == (90..<100).map(Float.init))
        let given = try scratch.prepare(plan, ResolvedSources(train: [train], validation: [test]))
        #expect(given.report.splits == ["train": 90, "validation": 10, "test": 0])
    }
}
