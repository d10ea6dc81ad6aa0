import Foundation
import MartletModels
import MartletServing
import MartletTensor
import MartletText
import MartletWire
import Synchronization
import Testing

private let compute = ComputeThread()

@Suite struct LanguageServerTests {
    static func exact(_ limits: LanguageScheduler.Limits = .init(), cachePages: Int = 0) throws
        -> LoadedLanguageModel.Options
    {
        var options = LoadedLanguageModel.Options()
        options.format = .dense
        options.limits = limits
        if cachePages > 0 {
            options.cacheBytes = try compute.run {
                PagedAttention.pageBytes(try TinyLanguageModel.make("llama").geometry) * cachePages
            }
        }
        return options
    }

    private static func greedy(_ tokens: [Int32], _ count: Int, _ name: String = "llama") throws -> [Int] {
        try compute.run { try TinyLanguageModel.make(name).greedyContinuation(tokens, count: count) }
    }

    @Test(arguments: TinyLanguageModel.names)
    func greedyAnswersAreThoseOfTheModel(_ name: String) async throws {
        let served = try ServedModel(name, options: Self.exact())
        let tokens = prompt(40)
        let events = try await served.events(.tokens(tokens, max: 32, topLogprobs: 0))
        #expect(events.chances().map(\.id) == (try Self.greedy(tokens, 32, name)))
        #expect(events.finish() == .length)
        #expect(events.usage?.completionTokens == 32)
        #expect(events.usage?.promptTokens == 40)
    }

    @Test func concurrentAnswersKeepApart() async throws {
        var limits = LanguageScheduler.Limits()
        limits.sequences = 6
        limits.passTokens = 48
        limits.mixedPassTokens = 24
        // So few pages that sequences are put back and computed again.
        let served = try ServedModel(options: Self.exact(limits, cachePages: 24))
        let prompts = (0..<24).map { prompt(20 + $0 * 3 % 50, seed: $0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, tokens) in prompts.enumerated() {
                group.addTask {
                    let expected = try Self.greedy(tokens, 30)
                    let events = try await served.events(
                        .tokens(tokens, max: 30, owner: "key-\(index % 5)", topLogprobs: 0))
                    #expect(events.chances().map(\.id) == expected, "prompt \(index)")
                }
            }
            try await group.waitForAll()
        }
    }

    @Test("L11: a shared beginning is read from the cache within a tenant only")
    func aSharedBeginningIsReadFromTheCacheWithinATenantOnly() async throws {
        let served = try ServedModel(options: Self.exact())
        let tokens = prompt(100)
        let first = try await served.events(.tokens(tokens, max: 4, tenant: "a", topLogprobs: 0))
        #expect(first.usage?.cachedTokens == 0)
        let again = try await served.events(.tokens(tokens + prompt(5), max: 4, tenant: "a", topLogprobs: 0))
        #expect(again.usage?.cachedTokens == 96)
        #expect(again.chances().map(\.id) == (try Self.greedy(tokens + prompt(5), 4)))
        let other = try await served.events(.tokens(tokens, max: 4, tenant: "b"))
        #expect(other.usage?.cachedTokens == 0)
    }

    @Test func choicesShareThePromptAndDrawApart() async throws {
        let served = try ServedModel(options: Self.exact())
        var request = GenerationRequest.tokens(prompt(50), max: 12, topLogprobs: 0)
        request.choiceCount = 4
        request.sampling = Sampling(temperature: 1.5, seed: 11)
        let events = try await served.events(request)
        let answers = (0..<4).map { events.chances(choice: $0).map(\.id) }
        #expect(answers.allSatisfy { $0.count == 12 })
        #expect(Set(answers).count == 4)
        let again = try await served.events(request)
        #expect((0..<4).map { again.chances(choice: $0).map(\.id) } == answers)
        #expect(events.usage?.completionTokens == 48)
    }

    @Test("L03: a cancelled request ends and frees its place") func aCancelledRequestEndsAndFreesItsPlace() async throws
    {
        var limits = LanguageScheduler.Limits()
        limits.sequences = 1
        let served = try ServedModel(options: Self.exact(limits))
        let server = served.server
        let first = served.started(.tokens(prompt(8), max: 1)).id
        // From the delivery's own thread: a test's task may wait long for its turn.
        let usage: GenerationUsage = try await withCheckedThrowingContinuation { continuation in
            server.generate(.tokens(prompt(10), max: 480)) { event in
                switch event {
                case .success(.text): server.cancel(first + 1)
                case .success(.done(let usage)): continuation.resume(returning: usage)
                case .success: break
                case .failure(let error): continuation.resume(throwing: error)
                }
            }
        }
        #expect(usage.completionTokens > 0)
        #expect(usage.completionTokens < 400)
        let next = try await served.events(.tokens(prompt(9), max: 3))
        #expect(next.usage?.completionTokens == 3)
        server.cancel(first + 1)
        server.cancel(999)
    }

    @Test func requestsThatCannotBeAreRefusedByName() async throws {
        let served = try ServedModel(options: Self.exact())
        func refusal(_ change: (inout GenerationRequest) -> Void) async -> MartletError? {
            var request = GenerationRequest.tokens(prompt(10), max: 4)
            change(&request)
            do {
                _ = try await served.events(request)
                return nil
            } catch {
                return error as? MartletError
            }
        }
        #expect(await refusal { $0.prompt = .tokens(Array(repeating: 5, count: 512)) }?.code == .contextLengthExceeded)
        #expect(
            await refusal { $0.prompt = .text(String(repeating: "a", count: 1_000_000)) }?.code
                == .contextLengthExceeded)
        #expect(await refusal { $0.prompt = .tokens([]) }?.code == .invalidRequest)
        #expect(await refusal { $0.prompt = .tokens([131]) }?.code == .invalidRequest)
        #expect(await refusal { $0.prompt = .tokens([-1]) }?.code == .invalidRequest)
        #expect(await refusal { $0.prompt = .chat(messages: [], tools: []) }?.message.contains("template") == true)
        #expect(await refusal { $0.maxTokens = 0 }?.param == "max_tokens")
        #expect(await refusal { $0.maxTokens = -5 }?.param == "max_tokens")
        #expect(await refusal { $0.sampling.temperature = .nan }?.param == "temperature")
        #expect(await refusal { $0.sampling.topK = -7 }?.param == "top_k")
        #expect(await refusal { $0.sampling.logitBias = [131: 1] }?.param == "logit_bias")
        #expect(await refusal { $0.choiceCount = 0 }?.param == "n")
        #expect(await refusal { $0.maxTokens = Int.max } == nil)
    }

    /// The template was read when the model was loaded; what it then cannot do is the variables' fault.
    @Test func variablesThatATemplateCannotTakeAreTheRequestsFault() async throws {
        let text = ByteTokens.text(count: 131) { _, _, variables in
            if variables.count > 0 { throw MartletError(.invalidData, "the chat template failed at line 1") }
            return "hello"
        }
        let served = try ServedModel(text: text)
        var request = GenerationRequest.tokens([], max: 2)
        request.prompt = .chat(messages: [], tools: [])
        #expect(try await served.events(request).usage?.promptTokens == 5)
        request.templateVariables = ["a": 1]
        let error = await #expect(throws: MartletError.self) { try await served.events(request) }
        #expect(error?.code == .invalidRequest && error?.param == "chat_template_kwargs")
        #expect(error?.message.hasSuffix("the chat template failed at line 1") == true)
    }

    @Test func aDeadlineEndsARequestThatWaits() async throws {
        var limits = LanguageScheduler.Limits()
        limits.sequences = 1
        let served = try ServedModel(options: Self.exact(limits))
        let long = served.started(.tokens(prompt(10), max: 450))
        var request = GenerationRequest.tokens(prompt(9), max: 3)
        request.deadlineMicroseconds = 0
        await #expect(throws: MartletError.self) { try await served.events(request) }
        served.server.cancel(long.id)
    }

    @Test func theQueueIsBounded() async throws {
        var limits = LanguageScheduler.Limits()
        limits.sequences = 1
        limits.waiting = 2
        limits.waitingPerOwner = 1
        let served = try ServedModel(options: Self.exact(limits), held: true)
        let started = ["a", "a", "b", "c"].map { served.started(.tokens(prompt(9), max: 3, owner: $0)) }
        await served.release()
        var codes: [MartletError.Code?] = []
        for request in started {
            do {
                _ = try await request.events()
                codes.append(nil)
            } catch {
                codes.append((error as? MartletError)?.code)
            }
        }
        #expect(codes == [nil, .rateLimited, nil, .unavailable])
    }

    @Test func stopTextsEndAnAnswerAndAreNotShown() async throws {
        let served = try ServedModel(options: Self.exact())
        var request = GenerationRequest.tokens(prompt(30), max: 40, topLogprobs: 0)
        request.sampling = Sampling(temperature: 2, seed: 5)
        let whole = try await served.events(request)
        let bytes = whole.chances().flatMap(\.bytes)
        try #require(bytes.count > 30)
        let stop = String(decoding: bytes[20..<23], as: UTF8.self)
        request.stop = [stop]
        let events = try await served.events(request)
        #expect(events.finish() == .stop)
        let expected = String(decoding: bytes, as: UTF8.self).components(separatedBy: stop)[0]
        #expect(events.text() == expected)
    }

    @Test func aPromptIsEchoedWithItsChances() async throws {
        let served = try ServedModel(options: Self.exact())
        let tokens = prompt(40)
        for _ in 0..<2 {
            var request = GenerationRequest.tokens(tokens, max: 2, topLogprobs: 2)
            request.echo = true
            let events = try await served.events(request)
            let chances = events.chances()
            #expect(chances.count == 40 + 2)
            #expect(chances.prefix(40).map(\.id) == tokens.map { Int($0) })
            #expect(chances[0].logprob == -.infinity && chances[0].top.isEmpty)
            let expected = try compute.run {
                let logits = try TinyLanguageModel.make("llama").sequenceLogits(tokens)
                return try logits.logSoftmax().array(of: Float.self)
            }
            for (index, chance) in chances.dropFirst().prefix(39).enumerated() {
                #expect(abs(chance.logprob - Double(expected[index * 131 + chance.id])) < 1e-4)
                #expect(chance.top.count == 2)
            }
        }
    }

    /// Who measures a text asks for one token more and takes the last one's chances away, whatever token it is.
    @Test func theTokenThatEndsATextIsToldWithItsChances() async throws {
        let served = try ServedModel(text: ByteTokens.text(count: 131, render: { _, _, _ in "hello" }))
        for isChat in [false, true] {
            var request = GenerationRequest.tokens(prompt(9), max: 3, topLogprobs: 1)
            if isChat { request.prompt = .chat(messages: [], tools: []) }
            (request.ignoreEnd, request.echo) = (false, !isChat)
            request.sampling.logitBias = [1: 100]
            let events = try await served.events(request)
            #expect(events.finish() == .stop && events.usage?.completionTokens == 1)
            let chances = events.chances()
            #expect(chances.map(\.id) == (isChat ? [] : prompt(9).map { Int($0) } + [1]))
            #expect(chances.last?.bytes == (isChat ? nil : []))
        }
    }

    /// The prompt's sequence gives its pages back in the middle, for an older one, and is computed again.
    @Test func aPromptThatIsComputedAgainIsEchoedOnce() async throws {
        var limits = LanguageScheduler.Limits()
        // Of the younger prompt three tokens a pass, from the first on.
        (limits.passTokens, limits.mixedPassTokens) = (20, 3)
        let options = try Self.exact(limits, cachePages: 7)
        let served = try ServedModel(options: options, held: true)
        let older = served.started(.tokens(prompt(17), max: 60))
        let tokens = prompt(78, seed: 3)
        var request = GenerationRequest.tokens(tokens, max: 1, topLogprobs: 1)
        request.echo = true
        let echoed = served.started(request)
        await served.release()
        #expect(try await older.events().usage?.completionTokens == 60)
        let chances = try await echoed.events().chances()
        let alone = try await ServedModel(options: Self.exact()).events(request).chances()
        #expect(chances.map(\.id) == alone.map(\.id) && chances.count == 79)
        for (chance, other) in zip(chances, alone).dropFirst() { #expect(abs(chance.logprob - other.logprob) < 1e-4) }
    }

    /// What may begin a call is held back a while; the chances of its tokens come with it.
    @Test func everyTokenOfTextHasItsChancesWhereToolsMayBeCalled() async throws {
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .hermes
        let served = try ServedModel(options: Self.exact(), text: text)
        var request = GenerationRequest.tokens(prompt(20), max: 120, topLogprobs: 0)
        request.form = .tools([.init(name: "f", parameters: ["type": "object"])])
        let mark = Int(UInt8(ascii: "<")) - 32
        request.sampling = Sampling(temperature: 2, seed: 1)
        request.sampling.logitBias = [mark: 3]
        let events = try await served.events(request)
        let chances = events.chances()
        #expect(chances.filter { $0.id == mark }.count > 5)
        #expect(chances.flatMap(\.bytes) == Array(events.text().utf8))
        #expect(chances.count == events.usage?.completionTokens)
    }

    @Test func embeddingsHaveLengthOne() async throws {
        let served = try ServedModel(options: Self.exact())
        let (reply, vectors) = try await withCheckedThrowingContinuation { continuation in
            served.server.embed(EmbeddingRequest(inputs: [.tokens([5, 6, 7]), .text("hello")], dimensions: 10)) {
                continuation.resume(with: $0)
            }
        }
        #expect(reply == EmbeddingReply(width: 10, tokens: 8))
        for vector in vectors {
            #expect(vector.count == 10)
            #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
        }
    }

    /// The answer is ended from the heartbeat: were that to wait for the answer's end, it would be whole.
    @Test("L07: the heartbeat comes while an answer is computed") func theHeartbeatComesWhileAnAnswerIsComputed()
        async throws
    {
        let served = try ServedModel(options: Self.exact())
        let server = served.server
        let first = served.started(.tokens(prompt(8), max: 1)).id
        let asked = Atomic<Bool>(false)
        let usage: GenerationUsage = try await withCheckedThrowingContinuation { continuation in
            server.generate(.tokens(prompt(10), max: 480)) { event in
                switch event {
                case .success(.text):
                    guard !asked.exchange(true, ordering: .relaxed) else { return }
                    server.ping { server.cancel(first + 1) }
                case .success(.done(let usage)): continuation.resume(returning: usage)
                case .success: break
                case .failure(let error): continuation.resume(throwing: error)
                }
            }
        }
        #expect(usage.completionTokens > 0 && usage.completionTokens < 400)
    }

    /// A pass of many layers over a long prompt: the signs of life come as its layers begin. Where they came between
    /// passes alone, the longest pause would be the pass itself.
    @Test("L07: the heartbeat comes between the layers of one long pass")
    func theHeartbeatComesBetweenTheLayersOfOneLongPass() async throws {
        var options = try Self.exact()
        options.limits.passTokens = 4096
        let layers: JSONObject = [
            "num_hidden_layers": 12, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4,
            "num_key_value_heads": 4, "head_dim": 64,
        ]
        let served = try ServedModel("llama", layers, options: options)
        var shares: [Double] = []
        for attempt in 0..<5 where shares.allSatisfy({ $0 > 0.7 }) {
            let beats = Beats(served.server)
            let request = served.started(.tokens(prompt(480, seed: attempt), max: 1))
            beats.start()
            let pass = try #require(try await request.events().usage?.prefillMicroseconds)
            await withCheckedContinuation { continuation in served.server.ping { continuation.resume() } }
            shares.append(beats.end() / .microseconds(pass))
        }
        #expect(shares.contains { $0 <= 0.7 }, "\(shares)")
    }
}

/// Asks a server for signs of life, each as soon as the one before has come.
private final class Beats: Sendable {
    private let server: LanguageServer
    private let times = Mutex<(last: ContinuousClock.Instant, longest: Duration)>((.now, .zero))
    private let isOver = Atomic<Bool>(false)

    init(_ server: LanguageServer) { self.server = server }

    func start() {
        times.withLock { $0 = (.now, .zero) }
        ask()
    }

    /// The longest pause.
    func end() -> Duration {
        isOver.store(true, ordering: .relaxed)
        return times.withLock { $0.longest }
    }

    private func ask() {
        server.ping { [self] in
            times.withLock { times in
                times.longest = max(times.longest, ContinuousClock.now - times.last)
                times.last = .now
            }
            if !isOver.load(ordering: .relaxed) { ask() }
        }
    }
}
