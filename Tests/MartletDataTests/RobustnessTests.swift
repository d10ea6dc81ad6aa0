import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct RobustnessTests {
    @Test func `JSON lines and one JSON list give the same table`() throws {
        let objects = [
            #"{"a": 1, "b": "x", "c": true, "d": 0.5, "e": null}"#,
            #"{"b":"with \"escape\" \u96e8","a":-0,"c":"NA","d":1.50,"e":[1,2]}"#,
            #"{"a":12345678901234567890,"b":"","c":1e3,"d":0.8474337369372327,"e":{"k":1}}"#,
            #"{"a":-17,"b":"雨燕","d":0.00001,"c":false,"z":1}"#,
            #"{ "e" : "t" , "d":123456789.123456 , "a" : 1.0 }"#,
        ]
        let scratch = try Scratch()
        let lines = try scratch.write("a.jsonl", objects.joined(separator: "\n") + "\n")
        let list = try scratch.write("a.json", "[" + objects.joined(separator: ",\n") + "]")
        let one = try DataProfile.profile(paths: [lines])
        let other = try DataProfile.profile(paths: [list])
        #expect(one.columns == other.columns)
        #expect(one.columns.map(\.name) == ["a", "b", "c", "d", "e", "z"])
        #expect(one.columns[3].max == 123_456_789.123456)
        #expect(one.columns[1].missing == 2)
    }

    @Test func `bytes at random give an answer or an error, never a crash`() throws {
        let scratch = try Scratch()
        let seeds: [(String, [UInt8])] = [
            ("t.csv", Array("a,b,c\n1,\"x \"\"y\"\", z\",2024-01-01\n-2.5e3,雨燕,NA\n".utf8)),
            ("t.jsonl", Array("{\"a\":1,\"b\":\"x\"}\n{\"a\":[1,2],\"b\":\"\\u96e8\"}\n".utf8)),
            ("t-images-idx3-ubyte", [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2] + Array(0..<8)),
            ("t.txt", Array("first\nsecond 雨\n".utf8)),
        ]
        var state: UInt64 = 7
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let marks = Array("\",;\n\r\t{}[]:\\0.-eE/\u{0}".utf8) + [0xFF, 0xC3, 0x80]
        for (name, seed) in seeds {
            for _ in 0..<250 {
                var bytes = seed
                for _ in 0..<(1 + random(4)) {
                    let place = random(bytes.count)
                    switch random(3) {
                    case 0: bytes[place] = marks[random(marks.count)]
                    case 1: bytes.insert(marks[random(marks.count)], at: place)
                    default: if bytes.count > 2 { bytes.remove(at: place) }
                    }
                }
                let file = try scratch.write(name, bytes)
                do {
                    _ = try DataProfile.profile(paths: [file])
                } catch let error as MartletError {
                    #expect(error.code != .internal)
                }
            }
        }
    }

    @Test func `numbers at the ends of what a double holds are described and refused where they cannot be read`() throws
    {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,y\n-1.7e308,1\n1.7e308,2\n1e308,3\n,4\n")
        let report = try DataProfile.profile(paths: [file])
        let column = try #require(report.columns.first)
        #expect(column.min == -1.7e308 && column.max == 1.7e308 && column.standardDeviation == nil)
        let mean = try #require(column.mean)
        #expect(mean > 3.333e307 && mean < 3.334e307)
        #expect(column.histogram?.counts == [1, 0, 0, 0, 0, 0, 0, 1, 0, 1])
        // A report goes over a wire of JSON.
        #expect(try JSON(encoding: report)["columns"]?.array?.first?["mean"]?.double != nil)
        for with in [CleanStep.Fill.mean, .median] {
            let plan = recipe([input("x", .number) { $0.normalize = .log }], [output("y", .number)]) {
                $0.data.clean = [
                    .fill(columns: ["x"], with: with), .clip(columns: ["x"], low: 0, high: nil),
                ]
            }
            #expect(try scratch.prepare(plan, [file]).train.all().floats("x").allSatisfy { $0.isFinite })
        }
        let plain = recipe(
            [input("x", .number) { $0.normalize = InputConfig.Normalization.none }], [output("y", .number)])
        expectFault(.invalidData, ["t.csv, line 2", "column 'x'", "'-1.7e308' is too large"]) {
            _ = try scratch.prepare(plain, [file])
        }
        let model = try scratch.prepare(plain, [scratch.write("small.csv", "x,y\n1,1\n2,2\n")]).preprocessing
        expectFault(.invalidData, ["row 1", "column 'x'", "too large"]) { _ = try model.encode(rows: [["x": 1e300]]) }
        let list = recipe(
            [input("v", .vector) { $0.normalize = InputConfig.Normalization.none }], [output("y", .number)])
        expectFault(.invalidData, ["line 1", "column 'v'", "too large"]) {
            _ = try scratch.prepare(
                list, [scratch.write("v.jsonl", "{\"v\":[1,1e39],\"y\":0}\n{\"v\":[1,2],\"y\":0}\n")])
        }
        let narrow = try scratch.prepare(
            recipe([input("x", .number) { $0.normalize = .minmax }], [output("y", .number)]),
            [scratch.write("narrow.csv", "x,y\n0,1\n0.001,2\n")])
        expectFault(.invalidRequest, ["'x', row 2"]) {
            _ = try narrow.preprocessing.encode(tensors: ["x": RawTensor(shape: [2], values: .floats([0, 3e38]))])
        }
    }

    @Test func `a preprocessing that contradicts itself is refused`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("t.csv", "x,y\n1,a\n2,b\n")
        let data = try scratch.prepare(recipe([input("x", .number)], [output("y", .category)]), [file])
        let text = String(decoding: try data.preprocessing.encoded(), as: UTF8.self)
        for (from, to) in [
            ("\"offset\":[1.5]", "\"offset\":[]"), ("\"categories\":[\"a\",\"b\"]", "\"categories\":[]"),
            ("\"version\":1", "\"version\":9"),
        ] {
            #expect(text.contains(from))
            let bad = try scratch.write("preprocessing.json", text.replacingOccurrences(of: from, with: to))
            expectFault(.invalidData, ["preprocessing.json"]) { _ = try Preprocessing.read(from: bad) }
        }
        expectFault(.invalidData, ["damaged"]) { _ = try Preprocessing.read(from: scratch.write("p.json", "{}")) }
    }
}
