import Foundation
import MartletServing
import MartletTensor
import MartletWire
import Testing

/// Requests in every form, through the server and a trained model.
@Suite struct AnswerTests {
    @Test func `predictions are those of the training's own test`() throws {
        let model = try Models.mixed.get()
        let rows = try #require(
            try model.ask(.predict(Models.rows(model.held))).json["predictions"]?.array)
        #expect(rows.count == 50)
        let matrix = try #require(model.card.confusion["label.test"])
        var counts = matrix.counts.map { $0.map { _ in 0 } }
        var loss = 0.0
        for (row, given) in zip(rows, model.held) {
            let label = try #require(row["label"]?.string)
            let probabilities = try #require(row["label_probabilities"]?.object)
            #expect(probabilities.keys == matrix.labels)
            #expect(row["label_probability"] == probabilities[label])
            let truth = try #require(matrix.labels.firstIndex(of: given[7]))
            counts[truth][try #require(matrix.labels.firstIndex(of: label))] += 1
            loss -= log(try #require(probabilities[given[7]]?.double))
        }
        #expect(counts == matrix.counts)
        // Probabilities in an answer have six digits.
        #expect(abs(loss / 50 - (model.card.metrics["test"]?["loss"] ?? .nan)) < 1e-4)
    }

    @Test func `predict and the Open Inference Protocol give the same answer`() throws {
        let model = try Models.mixed.get()
        let rows = Array(model.held[..<7])
        let predicted = try #require(try model.ask(.predict(Models.rows(rows))).json["predictions"]?.array)
        let answer = try model.ask(.infer("{\"id\":\"七\",\"inputs\":[\(Models.inputs(rows))]}"))
        let json = try answer.json
        #expect(json["id"]?.string == "七")
        #expect(json["model_name"]?.string == "测试")
        #expect(json["model_version"]?.string == "3")
        #expect(try answer.output("label").map(\.string) == predicted.map { $0["label"]?.string })
        let probabilities = try answer.numbers("label_probabilities")
        #expect(probabilities.count == 21)
        for (row, object) in predicted.enumerated() {
            let all = try #require(object["label_probabilities"]?.object).map { $0.value.double ?? .nan }
            for (index, value) in all.enumerated() { #expect(abs(value - probabilities[row * 3 + index]) < 1e-6) }
        }
        #expect(answer.reply.rows == 7)
        #expect(answer.reply.headerLength == nil)
    }

    @Test func `binary tensors and mixed ones give what JSON gives`() throws {
        let model = try Models.mixed.get()
        let rows = Array(model.held[..<4])
        let wanted = try model.ask(.infer("{\"inputs\":[\(Models.inputs(rows))]}")).numbers("label_probabilities")
        let a = Little.floats(rows.map { Float($0[0]) ?? .nan })
        let color = Little.strings(rows.map { $0[1] })
        let note = Little.strings(rows.map { $0[2] })
        let flag = rows.map { UInt8($0[3] == "true" ? 1 : 0) }
        let v = Little.floats(rows.flatMap { row in (4...6).map { Float(row[$0]) ?? .nan } })
        func tensor(_ name: String, _ type: String, _ shape: String, _ bytes: [UInt8]) -> String {
            "{\"name\":\"\(name)\",\"datatype\":\"\(type)\",\"shape\":\(shape),\"parameters\":{\"binary_data_size\":\(bytes.count)}}"
        }
        let all = [
            tensor("a", "FP32", "[4]", a), tensor("color", "BYTES", "[4]", color), tensor("note", "BYTES", "[4]", note),
            tensor("flag", "BOOL", "[4]", flag), tensor("v", "FP32", "[4,3]", v),
        ]
        let whole = try model.ask(
            .infer(
                "{\"inputs\":[\(all.joined(separator: ","))],\"parameters\":{\"binary_data_output\":true}}",
                binary: a + color + note + flag + v))
        #expect(whole.reply.contentType == "application/octet-stream")
        let outputs = try #require(try whole.json["outputs"]?.array)
        let sizes = outputs.compactMap { $0["parameters"]?["binary_data_size"]?.int }
        #expect(sizes.reduce(0, +) == whole.binary.count)
        #expect(outputs.map { $0["name"]?.string } == ["label", "label_probabilities"])
        #expect(
            Little.numbers(in: Array(whole.binary.suffix(48))).map(Double.init).elementsEqual(wanted) {
                abs($0 - $1) < 1e-6
            }
        )

        // The note in JSON, the rest binary; one output of the two binary.
        let json =
            "{\"name\":\"note\",\"datatype\":\"BYTES\",\"shape\":[4],\"data\":["
            + rows.map { "\"\($0[2])\"" }.joined(separator: ",") + "]}"
        let mixed = try model.ask(
            .infer(
                "{\"inputs\":[\(all[0]),\(all[1]),\(json),\(all[3]),\(all[4])],\"outputs\":[{\"name\":\"label_probabilities\","
                    + "\"parameters\":{\"binary_data\":true}},{\"name\":\"label\"}]}",
                binary: a + color + flag + v))
        #expect(Little.numbers(in: mixed.binary).map(Double.init).elementsEqual(wanted) { abs($0 - $1) < 1e-6 })
        #expect(try mixed.output("label").count == 4)
    }

    @Test func `numbers of other types and data before its type are read`() throws {
        let model = try Models.mixed.get()
        let row = ["1", "红", "rain", "true", "1", "0", "1"]
        let usual = Models.inputs([row])
        let wanted = try model.ask(.infer("{\"inputs\":[\(usual)]}")).numbers("label_probabilities")
        let first = "{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}"
        for other in [
            "{\"data\":[1],\"shape\":[1],\"datatype\":\"FP32\",\"name\":\"a\"}",
            "{\"name\":\"a\",\"datatype\":\"INT64\",\"shape\":[1,1],\"data\":[[1]]}",
            "{\"name\":\"a\",\"datatype\":\"INT32\",\"shape\":[1],\"data\":[1]}",
            "{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[1],\"data\":[1.0e0]}",
        ] {
            let body = "{\"inputs\":[\(usual.replacingOccurrences(of: first, with: other))]}"
            #expect(body.contains(other))
            let numbers = try model.ask(.infer(body)).numbers("label_probabilities")
            #expect(numbers == wanted, "\(other)")
        }
        for (type, bytes) in [("UINT64", 8), ("UINT16", 2), ("INT8", 1), ("INT64", 8)] {
            let other =
                "{\"name\":\"a\",\"datatype\":\"\(type)\",\"shape\":[1],\"parameters\":{\"binary_data_size\":\(bytes)}}"
            let body = "{\"inputs\":[\(usual.replacingOccurrences(of: first, with: other))]}"
            let binary: [UInt8] = [1] + [UInt8](repeating: 0, count: bytes - 1)
            #expect(try model.ask(.infer(body, binary: binary)).numbers("label_probabilities") == wanted, "\(type)")
        }
    }

    @Test func `a classification gives the best labels`() throws {
        let model = try Models.mixed.get()
        let answer = try model.ask(
            .infer(
                "{\"inputs\":[\(Models.inputs([model.held[0]]))],\"outputs\":[{\"name\":\"label_probabilities\","
                    + "\"parameters\":{\"classification\":2}}]}"))
        let classes = try answer.output("label_probabilities").compactMap(\.string).map { $0.split(separator: ":") }
        #expect(classes.count == 2)
        #expect((Double(classes[0][0]) ?? 0) >= (Double(classes[1][0]) ?? 1))
        #expect(classes.allSatisfy { ["high", "low", "中"].contains(String($0[2])) })
    }

    @Test func `a row's result does not depend on its neighbours`() throws {
        let model = try Models.mixed.get()
        // A loud neighbour among them.
        let rows =
            Array(model.held[..<12]) + [["1e6", "?", "unknown words everywhere here", "false", "1e5", "-1e5", "0"]]
        let requests = rows.map { Request.infer("{\"inputs\":[\(Models.inputs([$0]))]}") }
        let together = try model.ask(requests).map { try $0.get().numbers("label_probabilities") }
        let one = try model.ask(.infer("{\"inputs\":[\(Models.inputs(rows))]}")).numbers("label_probabilities")
        for (row, request) in requests.enumerated() {
            let alone = try model.ask(request).numbers("label_probabilities")
            #expect(alone.count == 3)
            for index in 0..<3 {
                #expect(abs(alone[index] - together[row][index]) <= 1e-6, "row \(row)")
                #expect(abs(alone[index] - one[row * 3 + index]) <= 1e-6, "row \(row)")
            }
        }
    }

    @Test func `requests that go through together in parts keep their rows`() throws {
        let model = try Models.mixed.get()
        let sizes = [1, 5, 2, 9, 1, 12, 3]
        var start = 0
        var requests: [Request] = []
        for size in sizes {
            requests.append(.infer("{\"inputs\":[\(Models.inputs(Array(model.held[start..<start + size])))]}"))
            start += size
        }
        let all = try model.ask(.infer("{\"inputs\":[\(Models.inputs(Array(model.held[..<start])))]}")).output("label")
        let parts = try model.ask(requests, maxBatch: 8)
        #expect(try parts.flatMap { try $0.get().output("label") } == all)
        #expect(try parts.map { try $0.get().reply.rows } == sizes)
    }

    @Test func `images come as bytes, as fractions, as a file's content in base64, alone and together`() throws {
        let model = try Models.images.get()
        func request(_ index: Int, bytes: Bool, shape: String = "[1,1,6,6]") -> Request {
            let data = Models.pixels(index).map { bytes ? "\($0)" : "\(Float($0) / 255)" }.joined(separator: ",")
            return .infer(
                "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"\(bytes ? "UINT8" : "FP32")\",\"shape\":\(shape),"
                    + "\"data\":[\(data)]}]}")
        }
        // Bytes beside fractions in one pass.
        let requests = (0..<9).map { request($0, bytes: $0 % 2 == 0) }
        let together = try model.ask(requests).map { try $0.get() }
        for index in 0..<9 {
            let alone = try model.ask(request(index, bytes: true)).numbers("label_probabilities")
            for (a, b) in zip(alone, try together[index].numbers("label_probabilities")) { #expect(abs(a - b) <= 1e-6) }
            #expect(try together[index].output("label") == [.string("\(index % 3)")])
        }
        #expect(try model.ask(request(1, bytes: true, shape: "[1,36]")).output("label") == [.string("1")])
    }

    @Test func `a file of an image of any size is scaled and answered`() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = try Data(contentsOf: root.appending(path: "examples/fashion-images/2-trouser.png"))
        let request = Request(request: InferenceRequest(api: .file), body: Array(file))
        let answer = try Models.images.get().ask(request)
        let row = try #require(try answer.json["predictions"]?.array?.first)
        #expect(["0", "1", "2"].contains(row["label"]?.string))
        let base64 = Request.predict("{\"rows\":[{\"image\":\"\(file.base64EncodedString())\"}]}")
        #expect(try Models.images.get().ask(base64).json == answer.json)
    }
}
