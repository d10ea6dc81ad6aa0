import Foundation
import MartletModels
import MartletServing
import MartletTensor
import MartletText
import MartletWire
import Testing

/// A model that reads a source and writes an answer: what `scripts/golden/make_tiny_t5.py` wrote of transformers.
@Suite struct SourceModelTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/tiny-t5").path

    private static func expected() throws -> [JSON] {
        try #require(JSONParser.parse(Data(contentsOf: URL(filePath: folder + "/expected.json"))).array)
    }

    /// A server over the model on a compute thread of its own, until it goes.
    private final class Served: Sendable {
        let server: LanguageServer
        let logitError: Double?
        private let finished = DispatchSemaphore(value: 0)

        init(_ language: LanguageServing = LanguageServing(precision: "float32")) throws {
            let task = ServeTask(
                model: "tiny", version: 1, bundle: SourceModelTests.folder, share: MachineShare(threads: 1),
                maxBatch: 64, queueLimit: 64, language: language)
            let (ready, finished) = (Handed<(LanguageServer, Double?)>(), finished)
            Thread.detachNewThread {
                do {
                    try ComputeThread().run {
                        let (model, server) = try LanguageServer.loadSourceModel(task)
                        ready.put(.success((server, model.logitError)))
                        server.run(model)
                    }
                } catch {
                    ready.put(.failure(error))
                }
                finished.signal()
            }
            (server, logitError) = try ready.take()
        }

        deinit {
            server.drain()
            finished.wait()
        }
    }

    private static func request(_ text: String, max: Int? = 64, owner: String = "k") -> GenerationRequest {
        GenerationRequest(
            prompt: .text(text), maxTokens: max, sampling: Sampling(temperature: 0), tenant: "p", owner: owner)
    }

    private static func check(_ events: [GenerationEvent], _ row: JSON) {
        #expect(events.text() == row["text"]?.string, "\(row)")
        #expect(events.finish()?.rawValue == row["finish"]?.string, "\(row)")
        #expect(events.usage?.promptTokens == row["prompt_tokens"]?.array?.count)
        #expect(events.usage?.completionTokens == row["tokens"]?.array?.count)
        #expect(events.usage?.cachedTokens == 0)
    }

    @Test func greedyAnswersAreThoseOfTransformers() async throws {
        let served = try Served()
        for row in try Self.expected() {
            Self.check(try await served.server.events(Self.request(try #require(row["prompt"]?.string))), row)
            var request = Self.request("", max: 64)
            request.prompt = .tokens((row["prompt_tokens"]?.array ?? []).compactMap(\.int))
            request.topLogprobs = 1
            request.ignoreEnd = true
            let events = try await served.server.events(request)
            let tokens = (row["tokens"]?.array ?? []).compactMap(\.int)
            #expect(Array(events.chances().map(\.id).prefix(tokens.count)) == tokens)
            #expect(events.usage?.completionTokens == 64)
        }
    }

    /// Several keys, few places, and so little memory that answers are put back and computed again.
    @Test func answersKeepApart() async throws {
        let served = try Served(LanguageServing(maxSequences: 4, cacheBytes: 1, precision: "float32"))
        let expected = try Self.expected()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<28 {
                let row = expected[number % expected.count]
                let prompt = try #require(row["prompt"]?.string)
                group.addTask {
                    Self.check(
                        try await served.server.events(Self.request(prompt, owner: "key-\(number % 5)")), row)
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func choicesDrawApartAndAgainTheSame() async throws {
        let served = try Served()
        var request = Self.request("the swift", max: 20)
        request.choiceCount = 3
        request.sampling = Sampling(temperature: 1.5, topK: 20, seed: 4)
        request.ignoreEnd = true
        request.topLogprobs = 0
        let events = try await served.server.events(request)
        let answers = (0..<3).map { events.chances(choice: $0).map(\.id) }
        #expect(Set(answers).count == 3 && answers.allSatisfy { $0.count == 20 })
        let again = try await served.server.events(request)
        #expect((0..<3).map { again.chances(choice: $0).map(\.id) } == answers)
        #expect(events.usage?.promptTokens == again.usage?.promptTokens && events.usage?.completionTokens == 60)
    }

    @Test func aStopTextEndsAnAnswer() async throws {
        let served = try Served()
        let length = { (row: JSON) in row["text"]?.string?.count ?? 0 }
        let row = try #require(Self.expected().max { length($0) < length($1) })
        let text = try #require(row["text"]?.string)
        let stop = String(text.dropFirst(6).prefix(3))
        var request = Self.request(try #require(row["prompt"]?.string))
        request.stop = [stop]
        let events = try await served.server.events(request)
        #expect(events.text() == text.components(separatedBy: stop)[0] && events.finish() == .stop)
    }

    /// What the source says is no repetition; what the answer said is.
    @Test func repetitionIsAMatterOfTheAnswer() async throws {
        let served = try Served()
        for row in try Self.expected() {
            var request = Self.request(try #require(row["prompt"]?.string), max: 24)
            request.sampling.repetitionPenalty = 3
            request.topLogprobs = 0
            let wanted = (row["penalized"]?.array ?? []).compactMap(\.int)
            let found = try await served.server.events(request).chances().map(\.id)
            #expect(found == wanted, "\(row)")
        }
    }

    @Test("L03: a client that leaves frees its place") func aClientThatLeavesFreesItsPlace() async throws {
        let served = try Served(LanguageServing(maxSequences: 1, precision: "float32"))
        let server = served.server
        let usage: GenerationUsage = try await withCheckedThrowingContinuation { continuation in
            var request = Self.request("the swift", max: 96)
            request.ignoreEnd = true
            request.topLogprobs = 0
            server.generate(request) { event in
                switch event {
                // The first request of the server has this name.
                case .success(.text): server.cancel(1)
                case .success(.done(let usage)): continuation.resume(returning: usage)
                case .success: break
                case .failure(let error): continuation.resume(throwing: error)
                }
            }
        }
        #expect(usage.completionTokens > 0 && usage.completionTokens < 96)
        Self.check(
            try await served.server.events(Self.request(try #require(Self.expected()[0]["prompt"]?.string))),
            try Self.expected()[0])
    }

    @Test func whatCannotBeIsRefusedByName() async throws {
        let served = try Served()
        func refusal(_ change: (inout GenerationRequest) -> Void) async -> MartletError? {
            var request = Self.request("the swift", max: 4)
            change(&request)
            do {
                _ = try await served.server.events(request)
                return nil
            } catch {
                return error as? MartletError
            }
        }
        #expect(await refusal { $0.echo = true }?.param == "echo")
        #expect(await refusal { $0.prompt = .tokens(Array(repeating: 5, count: 97)) }?.code == .contextLengthExceeded)
        #expect(await refusal { $0.prompt = .tokens(Array(repeating: 5, count: 96)) } == nil)
        #expect(await refusal { $0.prompt = .tokens([]) }?.code == .invalidRequest)
        #expect(await refusal { $0.prompt = .tokens([60]) }?.code == .invalidRequest)
        #expect(await refusal { $0.prompt = .chat(messages: [], tools: []) }?.message.contains("template") == true)
        #expect(
            await refusal { $0.adapter = AdapterReference(reference: "a@1", contentHash: "h", path: "/") }?.message
                .contains("adapters") == true)
        let embedded: Result<(reply: EmbeddingReply, vectors: [[Float]]), MartletError> =
            await withCheckedContinuation { continuation in
                served.server.embed(EmbeddingRequest(inputs: [.text("a")])) { continuation.resume(returning: $0) }
            }
        #expect(throws: MartletError.self) { try embedded.get() }
        // Without a limit an answer ends at its end or at what the model is served with.
        #expect(try await served.server.events(Self.request("the swift", max: nil)).usage?.completionTokens ?? 97 <= 96)
        var whole = Self.request("the swift", max: nil)
        whole.ignoreEnd = true
        #expect(try await served.server.events(whole).usage?.completionTokens == 96)
    }

    @Test func sixteenBitsAreNear() async throws {
        let served = try Served(LanguageServing(precision: "float16"))
        let error = try #require(served.logitError)
        #expect(error > 0 && error < 0.5)
        let events = try await served.server.events(Self.request("the swift", max: 8))
        #expect((1...8).contains(events.usage?.completionTokens ?? 0))
    }
}
