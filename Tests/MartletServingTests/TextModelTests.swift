import Foundation
import MartletModels
import MartletServing
import MartletTensor
import MartletTesting
import MartletWire
import Synchronization
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

    private static func signature(_ folder: String) throws -> Signature {
        let config = try JSONParser.parse(Data(contentsOf: URL(filePath: folder + "/config.json")))
        var signature = Signature()
        try TextTask(TextEncoderCatalog.make(config: config, hasPooler: true), config: config)
            .describe(in: &signature)
        return signature
    }

    /// A server that computes on a thread of its own until it goes.
    private final class Served: Sendable {
        let server: TextModelServer
        private let finished = DispatchSemaphore(value: 0)

        convenience init(_ name: String) throws { try self.init(folder: TextModelTests.folder(name)) }

        init(folder: String) throws {
            let (thread, signature) = (ComputeThread(), try signature(folder))
            let (ready, finished) = (Handed<TextModelServer>(), finished)
            Thread.detachNewThread {
                do {
                    try thread.run {
                        let model = try LoadedTextModel(bundle: folder, signature: signature, format: .dense)
                        let task = ServeTask(
                            model: "tiny", version: 1, bundle: folder, share: MachineShare(threads: 1), maxBatch: 64,
                            queueLimit: 64, language: LanguageServing())
                        let server = TextModelServer(task, model)
                        ready.put(.success(server))
                        server.run(model)
                    }
                } catch {
                    ready.put(.failure(error))
                }
                finished.signal()
            }
            server = try ready.take()
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

    /// A copy of a bundle whose config is another.
    private static func changed(_ name: String, _ change: (inout JSONObject) -> Void) throws -> String {
        let copy = NSTemporaryDirectory() + "martlet-texts-" + UUID().uuidString
        RemovedAtExit.add(copy)
        try FileManager.default.copyItem(atPath: folder(name), toPath: copy)
        let url = URL(filePath: copy + "/config.json")
        var config = try #require(JSONParser.parse(Data(contentsOf: url)).object)
        change(&config)
        try JSON.object(config).data.write(to: url)
        return copy
    }

    @Test func aTextHasTheNumberThatTransformersGivesIt() async throws {
        let expected = try Self.expected("tiny-bert-number")
        // Without a problem type, one score is a number as well.
        let plain = try Self.changed("tiny-bert-number") { $0["problem_type"] = nil }
        for served in [try Served("tiny-bert-number"), try Served(folder: plain)] {
            let rows = expected.map { row -> JSON in
                ["text": row["text"] ?? .null, "text_pair": row["text_pair"] ?? .null]
            }
            let found = try #require(
                try await served.ask(.predict, ["rows": .array(rows)])["predictions"]?.array)
            #expect(found.count == expected.count && found.count == 5)
            for (row, wanted) in zip(found, expected) {
                #expect(abs((row["value"]?.double ?? .nan) - (wanted["value"]?.double ?? 0)) < 1e-4)
                #expect(row.object?.count == 1)
            }
            let answer = try await served.ask(
                .openInference,
                ["inputs": [["name": "text", "datatype": "BYTES", "shape": [1], "data": ["the swift"]]]])
            let output = try #require(answer["outputs"]?.array?.first)
            #expect(output["name"] == "value" && output["datatype"] == "FP32" && output["shape"] == [1])
            #expect(abs((output["data"]?.array?[0].double ?? .nan) - (expected[0]["value"]?.double ?? 0)) < 1e-4)
        }
    }

    @Test func aTextHasSeveralNumbersByName() async throws {
        let served = try Served(
            folder: Self.changed("tiny-bert-classes") { $0["problem_type"] = "regression" })
        let row = try #require(
            try await served.ask(.predict, ["rows": [["text": "the swift"]]])["predictions"]?.array?.first)
        let values = try #require(row["values"]?.object)
        let powers = values.map { (label: $0.key, power: exp($0.value.double ?? .nan)) }
        let sum = powers.reduce(0) { $0 + $1.power }
        let expected = try Self.expected("tiny-bert-classes")[0]["scores"]
        // They are the scores that the classes' probabilities are made of.
        for (label, power) in powers { #expect(abs(power / sum - (expected?[label]?.double ?? -1)) < 1e-4) }
        #expect(powers.count == 3)
        let answer = try await served.ask(
            .openInference, ["inputs": [["name": "text", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]]]])
        #expect(answer["outputs"]?.array?.first?["shape"] == [2, 3])
    }

    @Test func oneLabelOfAProblemOfLabelsIsAProbability() async throws {
        let served = try Served(
            folder: Self.changed("tiny-bert-number") { $0["problem_type"] = "multi_label_classification" })
        let row = try #require(
            try await served.ask(.predict, ["rows": [["text": "the swift"]]])["predictions"]?.array?.first)
        let value = try #require(Self.expected("tiny-bert-number")[0]["value"]?.double)
        #expect(abs((row["label_probability"]?.double ?? -1) - 1 / (1 + exp(-value))) < 1e-4)
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

    @Test("L07: the heartbeat comes while a large request is computed")
    func theHeartbeatComesWhileALargeRequestIsComputed() async throws {
        let served = try Served("tiny-bert-classes")
        let rows = JSON.array(Array(repeating: ["text": "a bird that never lands"], count: 6_000))
        let body = Array((["rows": rows] as JSON).serialized().utf8)
        let told = Mutex<[String]>([])
        let count: Int = try await withCheckedThrowingContinuation { continuation in
            served.server.handle(InferenceRequest(api: .predict), body: body) { result in
                told.withLock { $0.append("answer") }
                continuation.resume(
                    with: result.mapError { $0 }.flatMap { answer in
                        Result { try JSONParser.parse(answer.body)["predictions"]?.array?.count ?? 0 }
                    })
            }
            served.server.ping { told.withLock { $0.append("sign of life") } }
        }
        #expect(count == 6_000)
        #expect(told.withLock { $0 } == ["sign of life", "answer"])
    }

    @Test func whatNobodyWaitsForAnyMoreEnds() async throws {
        let served = try Served("tiny-bert-classes")
        let rows = JSON.array(Array(repeating: ["text": "a bird that never lands"], count: 20_000))
        let body = Array((["rows": rows] as JSON).serialized().utf8)
        let late: Result<InferenceAnswer, MartletError> = await withCheckedContinuation { continuation in
            served.server.handle(InferenceRequest(api: .predict, deadlineMicroseconds: 1), body: body) {
                continuation.resume(returning: $0)
            }
        }
        guard case .failure(let error) = late else {
            Issue.record("it was answered after its deadline")
            return
        }
        #expect(error.code == .deadlineExceeded)
    }

    /// A weight that no token of the model's own check reads is damaged: of the mark that all texts begin with.
    @Test(arguments: ["tiny-bert-answers", "tiny-bert-classes"])
    func aResultThatIsNoNumberIsAnError(_ name: String) async throws {
        let folder = try Self.changed(name) { _ in }
        let file = folder + "/model.safetensors"
        try ComputeThread().run {
            let tensors = try SafeTensors(path: file).tensors().map { name, tensor in
                let own = try tensor.mul(1.0)
                if name.hasSuffix("word_embeddings.weight") { try own.narrow(0, from: 2, length: 1).fill_(.nan) }
                return (name, own)
            }
            try FileManager.default.removeItem(atPath: file)
            try SafeTensors.write(tensors, to: file)
        }
        let served = try Served(folder: folder)
        let row: JSON = name.hasSuffix("classes") ? ["text": "a"] : ["question": "a", "context": "the swift"]
        await #expect {
            _ = try await served.ask(.predict, ["rows": [row]])
        } throws: { ($0 as? MartletError)?.message.contains("not a number") == true }
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
        let none: JSON = ["inputs": []]
        for (api, body, part) in [
            (InferenceRequest.API.openInference, none, "inputs 'question', 'context' are missing"),
            (.openInference, ["inputs": [tensor]], "input 'context' is missing"),
            (.predict, ["rows": [[:]]], "row 1 has no 'question', 'context'"),
        ] {
            await #expect {
                _ = try await served.ask(api, body)
            } throws: { ($0 as? MartletError)?.message.contains(part) == true }
        }
    }
}
