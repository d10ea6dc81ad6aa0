import Foundation
import MartletTesting
import MartletWire
import Testing

/// All tests of this target: real processes, one after another.
@Suite(.serialized) enum ProcessTests {}

extension ProcessTests {
    @Suite struct WholeWay {
        @Test func fromDataToAnswersOnOneServer() async throws {
            try await TestHome.with { home in
                let added = try home.json("data", "add", "birds", home.write("birds.csv", TinyData.birds()))
                #expect(added["profile"]?["rows"]?.int == 400)
                let server = try #require(home.owner?.pid)
                let trained = try home.json("train", home.write("birds.yaml", TinyData.recipe(epochs: 12)))
                #expect(trained["job"]?["state"]?.string == "succeeded")
                let accuracy = try #require(trained["model"]?["card"]?["metrics"]?["test"]?["accuracy"]?.double)
                #expect(accuracy > 0.8)
                let deployed = try home.json("deploy", "birds", "--as", "swifts")
                #expect(deployed["ready"]?.bool == true)
                #expect(home.owner?.pid == server, "every command uses the server that is there")

                let csv = "wing,mass,nest\n17.2,41.0,roof\n11.0,18.0,bank\n"
                let answer = try home.json("predict", "swifts", "--input", "-", input: csv)
                let kinds = answer["predictions"]?.array?.compactMap { $0["kind"]?.string }
                #expect(kinds == ["雨燕", "martin"])

                let http = try home.http()
                let native = try http.post("/api/v1/deployments/swifts/predict", json: TinyData.row)
                #expect(native.status == 200)
                #expect(try native.json()["predictions"]?.array?.first == answer["predictions"]?.array?.first)

                let tensors = """
                    {"inputs":[{"name":"wing","datatype":"FP32","shape":[2,1],"data":[17.2,11.0]},
                    {"name":"mass","datatype":"FP32","shape":[2,1],"data":[41.0,18.0]},
                    {"name":"nest","datatype":"BYTES","shape":[2,1],"data":["roof","bank"]}]}
                    """
                let inferred = try http.post("/v2/models/swifts/infer", json: tensors)
                #expect(inferred.status == 200, "\(inferred.text)")
                let outputs = try inferred.json()["outputs"]?.array ?? []
                let label = outputs.first { $0["name"]?.string == "kind" }
                #expect(label?["data"]?.strings == ["雨燕", "martin"])

                try Self.checkExport(home)

                #expect(try home.json("stop")["stopped"]?.bool == true)
                #expect(home.owner == nil)
                try waitUntil("the end of every engine", seconds: 60) { home.engines().isEmpty }
                #expect(try home.json("stop")["stopped"]?.bool == false)
            }
        }

        /// The folder that other tools read: ordinary tensor names, and offsets that tile the file.
        private static func checkExport(_ home: TestHome) throws {
            let folder = home.folder + "/bundle"
            try home.json("models", "export", "birds", folder)
            for name in ["config.json", "preprocessing.json", "signature.json", "card.json"] {
                let data = try #require(FileManager.default.contents(atPath: "\(folder)/\(name)"))
                #expect(throws: Never.self) { try JSONParser.parse(data, limits: .trusted) }
            }
            let weights = try #require(FileManager.default.contents(atPath: "\(folder)/model.safetensors"))
            let length = weights.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
            let header = try JSONParser.parse(weights.dropFirst(8).prefix(length), limits: .trusted)
            var keys: [String] = []
            var ranges: [(Int, Int)] = []
            let tensors = try #require(header.object)
            for (key, value) in tensors where key != "__metadata__" {
                keys.append(key)
                let offsets = try #require(value["data_offsets"]?.ints)
                ranges.append((offsets[0], offsets[1]))
                let shape = try #require(value["shape"]?.ints)
                #expect(value["dtype"]?.string == "F32")
                #expect(offsets[1] - offsets[0] == 4 * shape.reduce(1, *))
            }
            #expect(keys.filter { $0.hasSuffix(".weight") }.count >= 2, "\(keys)")
            #expect(keys.allSatisfy { $0.split(separator: ".").count >= 2 && !$0.contains("/") }, "\(keys)")
            ranges.sort { $0.0 < $1.0 }
            #expect(ranges.first?.0 == 0)
            #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.1 == $1.0 })
            #expect(ranges.last?.1 == weights.count - 8 - length)
            let again = try home.run("models", "export", "birds", folder)
            #expect(again.code == 65)
        }
    }
}
