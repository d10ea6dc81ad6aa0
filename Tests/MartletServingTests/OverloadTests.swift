import Foundation
import MartletServing
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// What a replica does for requests that are too many, and for those that nobody waits for any more.
@Suite struct OverloadTests {
    private static func options() -> LoadedLanguageModel.Options {
        var options = LoadedLanguageModel.Options()
        options.format = .dense
        options.limits.sequences = 2
        options.limits.waiting = 4
        options.limits.waitingPerOwner = 4
        return options
    }

    private static func request(_ index: Int, choices: Int = 1) -> GenerationRequest {
        var request = GenerationRequest.tokens([], max: 6, owner: "k\(index % 3)")
        request.prompt = .text("request \(index) of many")
        request.choiceCount = choices
        return request
    }

    @Test("L01: what is refused is not tokenized and not computed")
    func whatIsRefusedIsNotTokenizedAndNotComputed() async throws {
        let read = Mutex(0)
        var text = ByteTokens.text(count: 131)
        let encode = text.encode
        text.encode = { text, special in
            read.withLock { $0 += 1 }
            return try encode(text, special)
        }
        // Each alone, for what an answer takes without others.
        let quiet = try ServedModel(options: Self.options(), text: text, waiting: 4)
        var alone: [[GenerationEvent]] = []
        for index in 0..<4 { alone.append(try await quiet.events(Self.request(index))) }
        #expect(read.withLock { $0 } == 4)

        // Five times as many as may wait, before the model computes anything.
        let served = try ServedModel(options: Self.options(), text: text, held: true, waiting: 4)
        let asked = (0..<20).map { served.started(Self.request($0)) }
        for request in asked[4...] {
            let error = await #expect(throws: MartletError.self) { try await request.events() }
            #expect(error?.code == .unavailable)
        }
        await served.release()
        for (request, expected) in zip(asked, alone) {
            let events = try await request.events()
            #expect(events.text() == expected.text())
            #expect(events.usage?.promptTokens == expected.usage?.promptTokens)
            #expect(events.usage?.completionTokens == expected.usage?.completionTokens)
        }
        #expect(read.withLock { $0 } == 8, "the four that were taken, and no other")

        // The room is there again, also for one request of several answers, and not for one more than that.
        #expect(try await served.events(Self.request(0, choices: 4)).usage?.completionTokens == 24)
        await #expect(throws: MartletError.self) { try await served.events(Self.request(0, choices: 5)) }
        #expect(read.withLock { $0 } == 9)
    }

    @Test("L01: what comes to nothing gives its room back")
    func whatComesToNothingGivesItsRoomBack() async throws {
        let served = try ServedModel(options: Self.options(), waiting: 4)
        for round in 0..<10 {
            var broken = Self.request(round)
            broken.maxTokens = 0
            await #expect(throws: MartletError.self) { try await served.events(broken) }
            let left = served.started(Self.request(round, choices: 4))
            served.server.cancel(left.id)
            _ = try? await left.events()
        }
        #expect(try await served.events(Self.request(0, choices: 4)).usage?.completionTokens == 24)
    }

    @Test("L03: vectors that nobody waits for are not computed to their end")
    func vectorsThatNobodyWaitsForAreNotComputedToTheirEnd() async throws {
        let served = try ServedModel(options: Self.options(), held: true)
        let (results, continuation) = AsyncStream<MartletError.Code?>.makeStream()
        let long = EmbeddingRequest(inputs: (0..<2000).map { .tokens(prompt(60, seed: $0).map { Int($0) }) })
        let id = served.server.embed(long) { result in
            if case .failure(let error) = result { continuation.yield(error.code) } else { continuation.yield(nil) }
        }
        // Requests are read in order: when this one has failed, the texts are in the model's inbox. The sign of life is
        // given before the first pass over them, so that the cancellation comes in the middle.
        _ = try? await served.events(.tokens([], max: 1))
        served.server.ping { [server = served.server] in server.cancel(id) }
        await served.release()
        var iterator = results.makeAsyncIterator()
        #expect(await iterator.next() == .some(.cancelled))
        // One that is cancelled before it is read ends too, and the others are answered.
        let second = served.server.embed(long) { result in
            if case .failure(let error) = result { continuation.yield(error.code) } else { continuation.yield(nil) }
        }
        served.server.cancel(second)
        #expect(await iterator.next() == .some(.cancelled))
        served.server.embed(EmbeddingRequest(inputs: [.tokens([5, 6, 7])])) { result in
            continuation.yield((try? result.get()) == nil ? .internal : nil)
        }
        #expect(await iterator.next() == .some(nil))
    }

    @Test("L03: rows that nobody waits for leave the queue, or the model between two parts of a pass")
    func rowsThatNobodyWaitsForAreNotComputed() throws {
        let model = try Models.mixed.get()
        let server = model.server()
        let few = Array("{\"inputs\":[\(Models.inputs([model.held[0]]))]}".utf8)
        let rows = (0..<2000).map { model.held[$0 % model.held.count] }
        let many = Array("{\"inputs\":[\(Models.inputs(rows))]}".utf8)
        let answers = Answers(3)
        for (index, body) in [many, few, few].enumerated() {
            server.handle(InferenceRequest(api: .openInference), id: UInt64(index), body: body) {
                answers.put($0, index)
            }
        }
        server.cancel(1)
        #expect(answers.isAnswered(1) && !answers.isAnswered(0) && !answers.isAnswered(2))
        // Answered between the first two parts of the long one.
        server.ping { server.cancel(0) }
        try model.work(server)
        let all = try answers.all()
        expectFault(.cancelled, ["left"]) { _ = try all[0].get() }
        expectFault(.cancelled, ["left"]) { _ = try all[1].get() }
        #expect(throws: Never.self) { try all[2].get() }
    }
}
