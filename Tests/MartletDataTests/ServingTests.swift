import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct ServingTests {
    private func mixed() throws -> Preprocessing {
        let scratch = try Scratch()
        let file = try scratch.write(
            "t.csv", "age,color,ok,a,b,note,y\n1,red,yes,1,2,hello world,x\n3,blue,no,3,4,world,z\n")
        return try scratch.prepare(
            recipe(
                [
                    input("age", .number), input("color", .category), input("ok", .boolean),
                    input("v", .vector) { $0.columns = ["a", "b"] }, input("note", .text) { $0.maxLength = 3 },
                ], [output("y", .category)]), [file]
        ).preprocessing
    }

    private func image() throws -> Preprocessing {
        let scratch = try Scratch()
        try scratch.write("d/x/1.png", ImageGoldens.greyPNG)
        try scratch.write("d/y/1.png", ImageGoldens.greyPNG)
        return try scratch.prepare(
            recipe([input("image", .image)], [output("label", .category)]), [scratch.path + "/d"]
        ).preprocessing
    }

    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func `tensors and rows come out the same`() throws {
        let model = try mixed()
        let rows = try model.encode(rows: [
            ["age": 2.5, "color": "red", "ok": true, "a": 9, "b": -1, "note": "hello hello"],
            ["age": 0, "color": "green", "ok": "no", "a": "1", "b": 2, "note": "good world"],
        ])
        let tensors = try model.encode(tensors: [
            "age": RawTensor(shape: [2], values: .floats([2.5, 0])),
            "color": RawTensor(shape: [2], values: .strings([bytes("red"), bytes("green")])),
            "ok": RawTensor(shape: [2, 1], values: .bools([true, false])),
            "v": RawTensor(shape: [2, 2], values: .floats([9, -1, 1, 2])),
            "note": RawTensor(shape: [2], values: .strings([bytes("hello hello"), bytes("good world")])),
        ])
        #expect(rows.features.map(\.layout) == tensors.features.map(\.layout))
        for (a, b) in zip(rows.features, tensors.features) { #expect(a.values == b.values, "\(a.layout.name)") }
        #expect(rows.floats("age") == [0.5, -2])
        #expect(rows.floats("v") == [7, -4, -1, -1])
        #expect(rows.ints("color") == [2, 0])
        #expect(rows.ints("note") == [3, 3, 0, 1, 2, 0])
    }

    @Test func `the signature names and types everything`() throws {
        let signature = try mixed().signature
        #expect(signature.inputs.map(\.name) == ["age", "color", "ok", "v", "note"])
        #expect(signature.inputs.map(\.datatype) == ["FP32", "BYTES", "BOOL", "FP32", "BYTES"])
        #expect(signature.inputs[3].shape == [-1, 2])
        #expect(signature.inputColumns.map(\.name) == ["age", "color", "ok", "a", "b", "note"])
        #expect(signature.outputs.map(\.name) == ["y", "y_probabilities"])
        #expect(signature.outputColumns[0].categories == ["x", "z"])
        #expect(try image().signature.inputs[0].shape == [-1, 1, 6, 6])
    }

    @Test func `a bad value names row, column, value and remedy`() throws {
        let model = try mixed()
        let good: JSONObject = ["age": 1, "color": "red", "ok": true, "a": 1, "b": 2, "note": "x"]
        func fault(_ code: MartletError.Code, _ column: String, _ value: JSON?, _ parts: [String]) {
            var bad = good
            bad[column] = value
            expectFault(code, ["row 2"] + parts) { _ = try model.encode(rows: [good, bad]) }
        }
        fault(.invalidData, "age", "old", ["column 'age'", "'old' is not a number"])
        fault(.invalidRequest, "age", nil, ["no value for 'age'", "'note'"])
        fault(.invalidRequest, "color", nil, ["no value for 'color'"])
        fault(.invalidData, "age", .null, ["column 'age'", "no value"])
        fault(.invalidData, "ok", "maybe", ["column 'ok'", "'maybe'", "true nor false"])
        fault(.invalidData, "a", [1, 2], ["column 'a'", "not a number"])
    }

    @Test func `images in requests: base64, an object, a file, FP32 and UINT8 tensors`() throws {
        let model = try image()
        let text = Data(ImageGoldens.greyPNG).base64EncodedString()
        let rows = try model.encode(rows: [
            ["image": .string(text)], ["image": ["b64": .string(text)]],
            ["image": .string("data:image/png;base64," + text)],
        ])
        #expect(rows.bytes("image") == ImageGoldens.greyPixels + ImageGoldens.greyPixels + ImageGoldens.greyPixels)
        let flat = try model.encode(tensors: [
            "image": RawTensor(shape: [1, 36], values: .bytes(ImageGoldens.greyPixels))
        ])
        #expect(flat.bytes("image") == ImageGoldens.greyPixels)
        let floats = ImageGoldens.greyPixels.map { Float($0) / 255 }
        let unit = try model.encode(tensors: ["image": RawTensor(shape: [1, 1, 6, 6], values: .floats(floats))])
        #expect(unit.floats("image") == floats)
        #expect(unit.features[0].layout.storage == .float32)
        expectFault(.invalidRequest, ["row 1", "'image'", "not base64"]) {
            _ = try model.encode(rows: [["image": "???"]])
        }
        expectFault(.invalidRequest, ["row 1", "a number"]) { _ = try model.encode(rows: [["image": 5]]) }
        expectFault(.invalidData, ["row 1", "neither PNG nor JPEG"]) {
            _ = try model.encode(rows: [["image": "aGVsbG8="]])
        }
        expectFault(.invalidData, ["file 2"]) { _ = try model.encodeImages([ImageGoldens.greyPNG, [1, 2, 3]]) }
        expectFault(.invalidRequest, ["'age'", "not one image"]) {
            _ = try mixed().encodeImages([ImageGoldens.greyPNG])
        }
    }

    @Test func `tensors that do not fit are refused by name`() throws {
        let model = try image()
        func fault(_ parts: [String], _ tensors: [String: RawTensor]) {
            expectFault(.invalidRequest, parts) { _ = try model.encode(tensors: tensors) }
        }
        fault(["'image' is missing"], [:])
        fault(["no input 'imge'", "'image'"], ["imge": RawTensor(shape: [1], values: .floats([1]))])
        fault(
            ["'image' is INT64", "FP32"],
            ["image": RawTensor(shape: [1, 36], values: .ints(Array(repeating: 0, count: 36)))])
        fault(
            ["35 values a row", "[1, 1, 6, 6]"],
            ["image": RawTensor(shape: [1, 35], values: .floats(Array(repeating: 0, count: 35)))])
        fault(["product"], ["image": RawTensor(shape: [1, 1 << 40, 1 << 40], values: .floats([]))])
        fault(
            ["has 36 values", "72"],
            ["image": RawTensor(shape: [2, 36], values: .floats(Array(repeating: 0, count: 36)))])
        fault(["shape [-1, 36]"], ["image": RawTensor(shape: [-1, 36], values: .floats([]))])
        let mixed = try mixed()
        expectFault(.invalidRequest, ["'color'", "1 rows", "2"]) {
            _ = try mixed.encode(tensors: [
                "age": RawTensor(shape: [2], values: .floats([1, 2])),
                "color": RawTensor(shape: [1], values: .strings([bytes("red")])),
                "ok": RawTensor(shape: [2], values: .bools([true, true])),
                "v": RawTensor(shape: [2, 2], values: .floats([1, 2, 3, 4])),
                "note": RawTensor(shape: [2], values: .strings([[], []])),
            ])
        }
    }

    @Test func `answers as tensors carry the same values as rows`() throws {
        let out = try mixed().outputTensors(scores: ["y": [0, 2, 3, 1]], count: 2)
        #expect(out.map(\.name) == ["y", "y_probabilities"])
        #expect(out[0].tensor == RawTensor(shape: [2], values: .strings([bytes("z"), bytes("x")])))
        guard case .floats(let probabilities) = out[1].tensor.values else {
            Issue.record("no probabilities")
            return
        }
        expectClose(probabilities, [0.11920292, 0.880797, 0.880797, 0.11920292])
    }

    @Test func `many requests at once use one preprocessing`() async throws {
        let model = try mixed()
        let row: JSONObject = ["age": 2.5, "color": "red", "ok": true, "a": 9, "b": -1, "note": "hello"]
        let results = await withTaskGroup(of: Bool.self, returning: [Bool].self) { group in
            for index in 0..<200 {
                group.addTask {
                    var row = row
                    row["age"] = .int(Int64(index))
                    return (try? model.encode(rows: [row]).floats("age")) == [Float(index) - 2]
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.allSatisfy { $0 })
    }
}

@Suite struct AugmentTests {
    private func batch(_ rows: Int) -> FeatureBatch {
        let layout = FeatureLayout(name: "image", role: .input, shape: [1, 4, 4], storage: .uint8, isContinuous: true)
        let target = FeatureLayout(name: "label", role: .target, shape: [], storage: .int64)
        return FeatureBatch(
            count: rows,
            features: [
                (layout, .bytes((0..<rows).flatMap { _ in (1...16).map { UInt8($0 * 10) } })),
                (target, .ints((0..<rows).map(Int64.init))),
            ])
    }

    private let mirrored: [UInt8] = [40, 30, 20, 10, 80, 70, 60, 50, 120, 110, 100, 90, 160, 150, 140, 130]
    private let plain: [UInt8] = (1...16).map { $0 * 10 }

    @Test func `a row's change hangs on seed, step and row, not on its place in the batch`() throws {
        let augmenter = Augmenter(
            steps: [
                .flip(.horizontal), .crop(padding: 1), .rotate(degrees: 20), .noise(standardDeviation: 0.05),
                .cutout(size: 2),
            ],
            seed: 5)
        let forward = augmenter.apply(batch(3), step: 9, rows: [4, 5, 6]).bytes("image")
        let backward = augmenter.apply(batch(3), step: 9, rows: [6, 5, 4]).bytes("image")
        #expect(forward[..<16] == backward[32...])
        #expect(forward[32...] == backward[..<16])
        #expect(forward != augmenter.apply(batch(3), step: 10, rows: [4, 5, 6]).bytes("image"))
        #expect(
            forward
                != Augmenter(steps: [.flip(.horizontal), .cutout(size: 2)], seed: 6).apply(
                    batch(3), step: 9, rows: [4, 5, 6]
                ).bytes("image"))
        #expect(augmenter.apply(batch(3), step: 9, rows: [4, 5, 6]).ints("label") == [0, 1, 2])
    }

    @Test func `about half the rows are mirrored and the rest stay`() {
        let out = Augmenter(steps: [.flip(.horizontal)], seed: 1).apply(batch(1000), step: 0, rows: Array(0..<1000))
            .bytes("image")
        var flips = 0
        for row in 0..<1000 {
            let image = Array(out[(row * 16)..<(row * 16 + 16)])
            #expect(image == plain || image == mirrored)
            if image == mirrored { flips += 1 }
        }
        #expect((430...570).contains(flips))
    }

    @Test func `a crop moves by at most its padding, a cut-out blanks a square, a turn by nothing changes nothing`() {
        let rows = Array(0..<200)
        let crops = Augmenter(steps: [.crop(padding: 1)], seed: 2).apply(batch(200), step: 0, rows: rows).bytes("image")
        var seen: Set<[UInt8]> = []
        for row in rows { seen.insert(Array(crops[(row * 16)..<(row * 16 + 16)])) }
        #expect(seen.count == 9)
        #expect(seen.contains([0, 0, 0, 0, 0, 10, 20, 30, 0, 50, 60, 70, 0, 90, 100, 110]))
        let cut = Augmenter(steps: [.cutout(size: 2)], seed: 2).apply(batch(200), step: 0, rows: rows).bytes("image")
        for row in rows {
            let blanks = cut[(row * 16)..<(row * 16 + 16)].count { $0 == 0 }
            #expect([1, 2, 4].contains(blanks))
        }
        let turned = Augmenter(steps: [.rotate(degrees: 0)], seed: 2).apply(batch(1), step: 0, rows: [0]).bytes("image")
        #expect(turned == plain)
    }

    @Test func `noise has the deviation that was asked for, also on numbers`() {
        let layout = FeatureLayout(name: "v", role: .input, shape: [4], storage: .float32, isContinuous: true)
        let batch = FeatureBatch(count: 5000, features: [(layout, .floats(Array(repeating: 1, count: 20_000)))])
        let out = Augmenter(steps: [.noise(standardDeviation: 0.5)], seed: 3).apply(
            batch, step: 1, rows: Array(0..<5000)
        ).floats("v")
        let flag = FeatureLayout(name: "ok", role: .input, shape: [], storage: .float32)
        let flags = FeatureBatch(count: 1, features: [(flag, .floats([1]))])
        let same = Augmenter(steps: [.noise(standardDeviation: 0.5)], seed: 3).apply(flags, step: 1, rows: [0])
        #expect(same.floats("ok") == [1])
        let mean = out.reduce(0, +) / 20_000
        let deviation = (out.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000).squareRoot()
        #expect(abs(mean - 1) < 0.02)
        #expect(abs(deviation - 0.5) < 0.02)
    }
}
