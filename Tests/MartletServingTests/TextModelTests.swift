import Foundation
import MartletModels
import MartletServing
import MartletTensor
import MartletWire
import Testing

/// Classes of texts, and answers in them: what `scripts/golden/make_tiny_texts.py` wrote of transformers.
@Suite struct TextModelTests {
    private static func folder(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Golden").appending(path: name).path
    }

    private static func expected(_ name: String) throws -> [JSON] {
        let data = try Data(contentsOf: URL(filePath: folder(name) + "/expected.json"))
        return try #require(JSONParser.parse(data).array)
    }

    private static func signature(_ name: String) throws -> Signature {
        let config = try JSONParser.parse(Data(contentsOf: URL(filePath: folder(name) + "/config.json")))
        var signature = Signature()
        try TextTask(TextEncoderCatalog.make(config: config, hasPooler: true), config: config)
            .describe(in: &signature)
        return signature
    }

    /// A server that computes on a thread of its own until it goes.
    private final class Served: Sendable {
        let server: TextModelServer
        private let finished = DispatchSemaphore(value: 0)

        init(_ name: String) throws {
            let (thread, folder, signature) = (ComputeThread(), folder(name), try signature(name))
            let (ready, finished) = (AsyncValue<TextModelServer>(), finished)
            Thread.detachNewThread {
                try? thread.run {
                    let model = try LoadedTextModel(bundle: folder, signature: signature, format: .dense)
                    let task = ServeTask(
                        model: "tiny", version: 1, bundle: folder, share: MachineShare(threads: 1), maxBatch: 64,
                        queueLimit: 64, language: LanguageServing())
                    let server = TextModelServer(task, model)
                    ready.put(server)
                    server.run(model)
                }
                ready.put(nil)
                finished.signal()
            }
            server = try #require(ready.take())
        }

        deinit {
            server.drain()
            finished.wait()
        }

        func ask(_ api: InferenceRequest.API, _ body: JSON) async throws -> JSON {
            try await withCheckedThrowingContinuation { continuation in
                server.handle(InferenceRequest(api: api), body: Array(body.serialized().utf8)) { result in
                    continuation.resume(
                        with: result.mapError { $0 }.flatMap { answer in
                            Result { try JSONParser.parse(answer.body) }
                        })
                }
            }
        }
    }

    private final class AsyncValue<Value: Sendable>: @unchecked Sendable {
        // Unchecked: `value` is written before the signal and read after it.
        private var value: Value?
        private let semaphore = DispatchSemaphore(value: 0)
        func put(_ value: Value?) {
            self.value = self.value ?? value
            semaphore.signal()
        }
        func take() -> Value? {
            semaphore.wait()
            return value
        }
    }

    @Test func aTextHasTheClassesThatTransformersGivesIt() async throws {
        let expected = try Self.expected("tiny-bert-classes")
        let served = try Served("tiny-bert-classes")
        let rows = expected.map { row -> JSON in ["text": row["text"] ?? .null, "text_pair": row["text_pair"] ?? .null]
        }
        let answer = try await served.ask(.predict, ["rows": .array(rows)])
        let found = try #require(answer["predictions"]?.array)
        #expect(found.count == expected.count && found.count == 5)
        for (row, wanted) in zip(found, expected) {
            let scores = try #require(wanted["scores"]?.object)
            for (label, score) in scores {
                let probability = row["label_probabilities"]?[label]?.double ?? -1
                #expect(abs(probability - (score.double ?? 0)) < 1e-4, "\(wanted): \(row)")
            }
            let best = try #require(scores.max { ($0.value.double ?? 0) < ($1.value.double ?? 0) })
            #expect(row["label"]?.string == best.key)
            #expect(abs((row["label_probability"]?.double ?? -1) - (best.value.double ?? 0)) < 1e-4)
        }
    }

    @Test func anAnswerIsTheOneThatTransformersFindsLikeliest() async throws {
        let expected = try Self.expected("tiny-bert-answers")
        let served = try Served("tiny-bert-answers")
        let rows = expected.map { row -> JSON in
            ["question": row["question"] ?? .null, "context": row["context"] ?? .null]
        }
        let found = try #require(try await served.ask(.predict, ["rows": .array(rows)])["predictions"]?.array)
        #expect(found.count == 4 && expected.contains { ($0["windows"]?.int ?? 0) > 1 })
        for (row, wanted) in zip(found, expected) {
            #expect(row["answer"] == wanted["answer"] && row["start"] == wanted["start"] && row["end"] == wanted["end"])
            let difference = (row["answer_probability"]?.double ?? -1) - (wanted["probability"]?.double ?? 0)
            #expect(abs(difference) < 1e-4)
        }
    }

    @Test func theOpenInferenceProtocolGivesTheSame() async throws {
        let served = try Served("tiny-bert-classes")
        let texts: JSON = ["the swift", "x"]
        let rows = try await served.ask(.predict, ["rows": [["text": "the swift"], ["text": "x"]]])
        let answer = try await served.ask(
            .openInference, ["inputs": [["name": "text", "datatype": "BYTES", "shape": [2], "data": texts]]])
        let outputs = try #require(answer["outputs"]?.array)
        #expect(outputs.map { $0["name"]?.string } == ["label", "label_probabilities"])
        let predictions = try #require(rows["predictions"]?.array)
        #expect(outputs[0]["data"]?.array == predictions.compactMap { $0["label"] })
        #expect(outputs[1]["shape"] == [2, 3])
        let wish: JSON = [["name": "label_probabilities", "parameters": ["classification": 1]]]
        let classes = try await served.ask(
            .openInference,
            ["inputs": [["name": "text", "datatype": "BYTES", "shape": [2], "data": texts]], "outputs": wish])
        let best = classes["outputs"]?.array?[0]["data"]?.array?.compactMap(\.string) ?? []
        #expect(
            zip(best, predictions).allSatisfy { $0.hasSuffix(":" + ($1["label"]?.string ?? "?")) } && best.count == 2)
    }

    @Test(arguments: [
        (#"{"rows":[{}]}"#, "'text'"), (#"{"rows":[{"text":1}]}"#, "give a text"), (#"{"rows":[{"txt":"a"}]}"#, "txt"),
        (#"{"rows":[]}"#, "rows"), (#"{"rows":["a"]}"#, "row 1"), (#"{"rows":[{"text":"a"}],"x":1}"#, "'x'"),
        (#"{"rows":[{"text":"\#(String(repeating: "a ", count: 70))"}]}"#, "64"),
        (#"{"rows":[{"text":"\#(String(repeating: "a", count: 9_000))"}]}"#, "shorten"),
    ])
    func aRequestThatIsWrongIsToldSo(_ body: String, _ part: String) async throws {
        let served = try Served("tiny-bert-classes")
        await #expect {
            _ = try await served.ask(.predict, JSONParser.parse(Array(body.utf8)))
        } throws: { error in
            (error as? MartletError).map { $0.httpStatus == 400 && $0.message.contains(part) } ?? false
        }
        // It answers others.
        #expect(try await served.ask(.predict, ["rows": [["text": "a"]]])["predictions"]?.array?.count == 1)
    }

    @Test func anAnswerNeedsAQuestionAndAText() async throws {
        let served = try Served("tiny-bert-answers")
        for row: JSON in [
            ["question": "who"], ["context": "the swift"], ["question": "", "context": "a"],
            ["question": "a", "context": ""],
            ["question": .string(String(repeating: "a ", count: 80)), "context": "b"],
        ] {
            await #expect(throws: MartletError.self) { _ = try await served.ask(.predict, ["rows": [row]]) }
        }
        let tensor: JSON = ["name": "question", "datatype": "BYTES", "shape": [1], "data": ["who"]]
        let two: JSON = ["name": "context", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]]
        await #expect(throws: MartletError.self) {
            _ = try await served.ask(.openInference, ["inputs": [tensor, two]])
        }
        await #expect(throws: MartletError.self) { _ = try await served.ask(.openInference, ["inputs": [tensor]]) }
    }
}
