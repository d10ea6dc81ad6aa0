import Foundation
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Classifiers of texts and finders of answers from a folder to `predict` and the Open Inference Protocol.
    @Suite struct TextModels {
        private static func tiny(_ name: String) -> String {
            URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Golden/\(name)").path
        }

        @Test func aClassifierIsImportedAndAsked() async throws {
            try await TestHome.with { home in
                let model = try home.json("models", "import", Self.tiny("tiny-bert-classes"), "--name", "classes")
                #expect(
                    model["signature"]?["output_columns"]?.array?.first?["categories"] == ["bird", "beast", "fish"])
                let data = try #require(
                    FileManager.default.contents(atPath: Self.tiny("tiny-bert-classes") + "/expected.json"))
                let expected = try #require(try JSONParser.parse(data, limits: .trusted).array?.first)
                let text = try #require(expected["text"]?.string)
                let answer = try home.json("predict", "classes", "--input", home.write("rows.csv", "text\n\(text)\n"))
                let row = try #require(answer["predictions"]?.array?.first)
                let scores = try #require(expected["scores"]?.object)
                // The weights are served in 16 bits.
                for (label, score) in scores {
                    let found = row["label_probabilities"]?[label]?.double ?? -1
                    #expect(abs(found - (score.double ?? 0)) < 5e-3, "\(row)")
                }
                let http = try home.http()
                let tensors: JSON = [
                    "inputs": [["name": "text", "datatype": "BYTES", "shape": [1], "data": [.string(text)]]]
                ]
                let inferred = try http.post("/v2/models/classes/infer", json: tensors.serialized())
                #expect(inferred.status == 200, "\(inferred.text)")
                let label = try inferred.json()["outputs"]?.array?.first?["data"]?.array?.first
                #expect(label == row["label"])
                let chat = #"{"model":"classes","messages":[{"role":"user","content":"a"}]}"#
                #expect(try http.post("/v1/chat/completions", json: chat).status == 400)
            }
        }

        @Test func anAnswerIsFoundInAText() async throws {
            try await TestHome.with { home in
                try home.json("models", "import", Self.tiny("tiny-bert-answers"), "--name", "answers")
                try home.json("deploy", "answers", "--as", "asked")
                let rows = #"[{"question":"what is it","context":"A BIRD"}]"#
                let answer = try home.json("predict", "asked", "--input", home.write("rows.json", rows))
                let row = try #require(answer["predictions"]?.array?.first)
                #expect(row["answer"]?.string == "A" && row["start"]?.int == 0 && row["end"]?.int == 1, "\(row)")
                #expect(abs((row["answer_probability"]?.double ?? -1) - 0.184383) < 5e-3)
            }
        }
    }
}
