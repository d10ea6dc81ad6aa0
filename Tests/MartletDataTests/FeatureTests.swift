import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct FeatureTests {
    private func prepare(_ name: String, _ text: String, _ recipe: Recipe) throws -> PreparedData {
        let scratch = try Scratch()
        return try scratch.prepare(recipe, [try scratch.write(name, text)])
    }

    /// Expected values from scikit-learn's StandardScaler and MinMaxScaler and numpy's log1p.
    @Test func `numbers are scaled as scikit-learn scales them`() throws {
        let text = "x,y\n1,10\n2,30\n4,20\n9,80\n"
        func vector(_ how: InputConfig.Normalization) throws -> [Float] {
            let config = input("v", .vector) {
                $0.columns = ["x", "y"]; $0.normalize = how
            }
            return try prepare("t.csv", text, recipe([config], [output("y", .number)])).train.all().floats("v")
        }
        expectClose(
            try vector(.zscore),
            [
                -0.9733285267845753, -0.9284766908852593, -0.6488856845230502, -0.18569533817705186, 0,
                -0.5570860145311556,
                1.6222142113076254, 1.6712580435934667,
            ])
        expectClose(try vector(.minmax), [0, 0, 0.125, 0.2857142857142857, 0.375, 0.14285714285714285, 1, 1])
        expectClose(
            try vector(.log),
            [
                0.6931471805599453, 2.3978952727983707, 1.0986122886681098, 3.4339872044851463, 1.6094379124341003,
                3.044522437723423, 2.302585092994046, 4.394449154672439,
            ])
        #expect(try vector(.none) == [1, 10, 2, 30, 4, 20, 9, 80])
    }

    @Test func `a range names columns, and one column may hold a list`() throws {
        let wide = try prepare(
            "t.csv", "x0,x1,x2,y\n1,2,3,0\n4,5,6,1\n",
            recipe(
                [
                    input("v", .vector) {
                        $0.columns = ["x{0..2}"]; $0.normalize = InputConfig.Normalization.none
                    }
                ],
                [output("y", .number)]))
        #expect(try wide.train.all().floats("v") == [1, 2, 3, 4, 5, 6])
        #expect(wide.preprocessing.layouts[0].shape == [3])
        let plan = recipe(
            [input("v", .vector) { $0.normalize = InputConfig.Normalization.none }], [output("y", .number)])
        #expect(
            try prepare("t.csv", "v,y\n\"[1, 2.5]\",0\n[3;-4],1\n", plan).train.all().floats("v") == [1, 2.5, 3, -4])
        #expect(
            try prepare("t.jsonl", "{\"v\":[1,2.5],\"y\":0}\n{\"v\":[3,-4],\"y\":1}\n", plan).train.all().floats("v")
                == [1, 2.5, 3, -4])
        expectFault(.invalidData, ["column 'v'", "empty lists"]) {
            _ = try prepare("t.jsonl", "{\"v\":[],\"y\":0}\n{\"v\":[],\"y\":1}\n", plan)
        }
        expectFault(.invalidData, ["line 3", "has 1 numbers", "2"]) {
            _ = try prepare("t.csv", "v,y\n[1;2],0\n[3],1\n", plan)
        }
    }

    @Test func `booleans, dates and categories`() throws {
        let data = try prepare(
            "t.csv", "ok,day,kind,y\nyes,2024-02-29 06:30:00,10,true\n否,2024年3月1日,9,False\nTRUE,20240302,10,1\n",
            recipe(
                [
                    input("ok", .boolean), input("day", .datetime), input("kind", .category),
                ], [output("y", .boolean)]))
        let batch = try data.train.all()
        #expect(batch.floats("ok") == [1, 0, 1])
        #expect(batch.floats("y") == [1, 0, 1])
        // Numbers sort as numbers: 9 before 10. Index 0 is for values that training did not have.
        #expect(batch.ints("kind") == [2, 1, 2])
        #expect(data.preprocessing.layouts[2].cardinality == 3)
        #expect(batch.floats("day").count == 15)
        #expect(data.preprocessing.features[3].counts == [1, 2])
        let date = try #require(DateParts("2024-02-29T06:30:00Z"))
        #expect(date.values == [2024, 2, 29, 3, 6.5])
        #expect(DateParts("2023-02-29") == nil)
        #expect(DateParts("29.02.2024") == nil)
        #expect(DateParts("1.5") == nil)
    }

    @Test func `words are lower-cased runs of letters and digits, and Chinese goes by character`() throws {
        let data = try prepare(
            "t.jsonl",
            "{\"t\":\"The cat, the HAT!\",\"y\":\"a\"}\n{\"t\":\"雨燕 the Café2\",\"y\":\"b\"}\n",
            recipe(
                [
                    input("t", .text) {
                        $0.maxLength = 5; $0.vocabularySize = 3
                    }
                ], [output("y", .category)]))
        let text = data.preprocessing.features[0]
        #expect(text.categories == ["the", "cat", "hat"])
        #expect(try data.train.all().ints("t") == [2, 3, 2, 4, 0, 1, 1, 2, 1, 0])
        #expect(text.layout.cardinality == 5)
        let request = try data.preprocessing.encode(rows: [["t": "cat? CAT hat dog the the"]])
        #expect(request.ints("t") == [3, 3, 4, 1, 2])
    }

    @Test func `plain text by characters, and what is cut is counted`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.jsonl", "{\"t\":\"abca\",\"y\":\"1\"}\n{\"t\":\"ba\",\"y\":\"0\"}\n")
        let data = try scratch.prepare(
            recipe(
                [
                    input("t", .text) {
                        $0.tokenizer = .character; $0.maxLength = 3
                    }
                ], [output("y", .category)]), [file])
        #expect(try data.train.all().ints("t") == [2, 3, 4, 3, 2, 0])
        #expect(data.report.truncated == ["t": 1])
        let profile = try DataProfile.profile(paths: [try scratch.write("poem.txt", "first line\n\nsecond\r\n")])
        #expect(profile.rows == 2)
        #expect(profile.columns[0].name == "text")
    }

    @Test func `sequences and the labels of their tokens`() throws {
        let plan = recipe(
            [input("words", .sequence) { $0.maxLength = 3 }], [output("tags", .sequence)])
        let data = try prepare(
            "t.jsonl",
            "{\"words\":[\"a\",\"b\"],\"tags\":[\"X\",\"Y\"]}\n{\"words\":\"b b a\",\"tags\":\"Y Y X\"}\n{\"words\":[7],\"tags\":[\"X\"]}\n",
            plan)
        let batch = try data.train.all()
        // b 3 times, then a twice, then 7
        #expect(batch.ints("words") == [3, 2, 0, 2, 2, 3, 4, 0, 0])
        #expect(batch.ints("tags") == [0, 1, paddingLabel, 1, 1, 0, 0, paddingLabel, paddingLabel])
        #expect(data.preprocessing.layouts[1].cardinality == 2)
        expectFault(.invalidData, ["line 1", "'tags'", "1 labels", "2 tokens"]) {
            _ = try prepare("t.jsonl", "{\"words\":[\"a\",\"b\"],\"tags\":[\"X\"]}\n", plan)
        }
    }

    @Test func `number cells honour the decimal comma`() throws {
        let data = try prepare(
            "t.csv", "x;y\n1.000,5;a\n2,25;b\n",
            recipe([input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("y", .category)]))
        #expect(try data.train.all().floats("x") == [1000.5, 2.25])
        let request = try data.preprocessing.encode(rows: [["x": 2.25], ["x": "1.000,5"]])
        #expect(request.floats("x") == [2.25, 1000.5])
    }

    @Test func `targets are scaled for training and answers are scaled back`() throws {
        let data = try prepare(
            "t.csv", "x,price,label,ok\n1,10,b,yes\n2,30,a,no\n3,20,a,no\n4,80,a,yes\n",
            recipe(
                [input("x", .number)],
                [output("price", .number), output("label", .category), output("ok", .boolean)]))
        let batch = try data.train.all()
        expectClose(
            batch.floats("price"), [-0.9284766908852593, -0.18569533817705186, -0.5570860145311556, 1.6712580435934667])
        let rows = try data.preprocessing.predictions(
            scores: ["price": batch.floats("price"), "label": [1, 2, 0, 0, 5, -5, 0, 1], "ok": [0, 2, -2, -1]], count: 4
        )
        let prices = rows.compactMap { $0["price"]?.double }
        for (price, expected) in zip(prices, [10.0, 30, 20, 80]) { #expect(abs(price - expected) < 1e-4) }
        #expect(rows[0]["label"] == "b")
        #expect(rows[0]["label_probability"]?.double == 0.731059)
        #expect(rows[0]["label_probabilities"]?["a"]?.double == 0.268941)
        #expect(rows[1]["label"] == "a")
        #expect(rows[2]["ok"] == false)
        #expect(rows[1]["ok_probability"]?.double == 0.880797)
        #expect(data.preprocessing.features[2].counts == [3, 1])
        expectFault(.internal, ["'price'"]) { _ = try data.preprocessing.predictions(scores: [:], count: 1) }
    }
}
