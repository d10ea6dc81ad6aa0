import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletWire
import Testing

private let compute = ComputeThread()

/// Many adapters of one base in the same passes, each as if it were alone.
@Suite struct AdapterTests {
    private static let layers = [
        "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"],
        "gpt2": ["c_attn", "c_fc", "mlp.c_proj"], "phi3": ["qkv_proj", "down_proj"],
        "qwen2-moe": ["q_proj", "shared_expert.up_proj"],
    ]

    private static func logits(_ fixture: AdapterFixture, _ adapter: AdapterReference?, _ tokens: [[Int32]]) throws
        -> [Tensor]
    {
        try LanguageProbe(bundle: fixture.base, adapter: adapter.map { URL(filePath: $0.path) })
            .logits(tokens, partTokens: 48)
    }

    @Test(arguments: layers.keys.sorted())
    func anAdapterGivesTheLogitsOfTheMergedModel(_ name: String) throws {
        try compute.run {
            let fixture = try AdapterFixture(name)
            let base = try LanguageBundle.load(fixture.base).model
            let vocabulary = base.geometry.vocabularyCount
            let sequences = [prompt(5, vocabulary: vocabulary), prompt(100, seed: 1, vocabulary: vocabulary)]
            for (seed, rank, more) in [
                (1, 4, [:]), (2, 1, ["use_rslora": true]), (3, 13, ["alpha_pattern": ["q_proj": 20, "c_attn": 1]]),
            ] as [(UInt64, Int, [String: JSON])] {
                let adapter = try fixture.adapter(
                    seed, rank: rank, layers: Self.layers[name] ?? [], config: more)
                let merged = try fixture.merged(adapter)
                for (tokens, found) in zip(sequences, try Self.logits(fixture, adapter, sequences)) {
                    let expected = try merged.sequenceLogits(tokens)
                    let scale = try max(1, expected.abs().max().item())
                    let error = try found.sub(expected).abs().max().item() / scale
                    #expect(error <= 1e-4, "\(name), rank \(rank): \(error)")
                    let plain = try found.sub(base.sequenceLogits(tokens)).abs().max().item()
                    #expect(plain > 0.05, "the adapter changes nothing")
                }
            }
        }
    }

    @Test func theProbeWithoutAnAdapterGivesTheBasesLogits() throws {
        try compute.run {
            let fixture = try AdapterFixture("llama")
            let tokens = prompt(100)
            let expected = try TinyLanguageModel.make("llama").sequenceLogits(tokens)
            let found = try Self.logits(fixture, nil, [tokens])[0]
            #expect(try found.sub(expected).abs().max().item() <= 1e-4)
        }
    }

    /// Ten adapters and the base, 33 requests side by side: every answer has the tokens and the log probabilities that
    /// it has alone.
    @Test(arguments: ["llama", "gpt2"])
    func tenAdaptersAndTheBaseAnswerInTheSamePasses(_ name: String) async throws {
        let (fixture, adapters) = try compute.run {
            let fixture = try AdapterFixture(name)
            return (
                fixture,
                try (1...10).map {
                    try fixture.adapter($0, rank: Int($0) % 4 + 1, layers: Self.layers[name] ?? [])
                }
            )
        }
        defer { withExtendedLifetime(fixture) {} }
        var options = LoadedLanguageModel.Options()
        options.format = .dense
        options.limits.passTokens = 96
        options.limits.mixedPassTokens = 48
        let served = try ServedModel(name, options: options)
        let ways = [nil] + adapters
        let requests = (0..<33).map { index in
            GenerationRequest.tokens(prompt(10 + index % 4 * 17, seed: index % 4), max: 12, topLogprobs: 2)
                .through(ways[index % ways.count])
        }
        var together: [[TokenChance]] = Array(repeating: [], count: requests.count)
        try await withThrowingTaskGroup(of: (Int, [TokenChance]).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try await served.events(request).chances()) }
            }
            for try await (index, chances) in group { together[index] = chances }
        }
        // In memory: the base once, and of each adapter its matrices in float32.
        let numbers = try adapters.map { try Data(contentsOf: $0.weights).count / 4 }.reduce(0, +)
        #expect(served.adapters.resident.count == 10)
        #expect(served.adapters.resident.bytes <= numbers * 4)
        for (index, request) in requests.enumerated() {
            let alone = try await ServedModel(name, options: options).events(request).chances()
            #expect(together[index].map(\.id) == alone.map(\.id), "request \(index)")
            for (a, b) in zip(together[index], alone) { #expect(abs(a.logprob - b.logprob) <= 1e-4) }
        }
        #expect(Set(together.map { $0.map(\.id) }).count > 11)
    }

    @Test func aPromptsCacheIsSharedWithinAnAdapterAndNeverAcross() async throws {
        let (fixture, adapters) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try (1...2).map { try fixture.adapter($0, layers: ["q_proj", "v_proj"]) })
        }
        defer { withExtendedLifetime(fixture) {} }
        let served = try ServedModel()
        let request = GenerationRequest.tokens(prompt(60), max: 1)
        for way in [nil] + adapters {
            for expected in [0, 48] {
                let events = try await served.events(request.through(way))
                #expect(events.usage?.cachedTokens == expected)
            }
        }
    }

    @Test func embeddingsGoThroughTheAdapterToo() async throws {
        let (fixture, adapter) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try fixture.adapter(1, layers: ["o_proj", "down_proj"]))
        }
        defer { withExtendedLifetime(fixture) {} }
        let served = try ServedModel()
        var vectors: [[Float]] = []
        for way in [nil, adapter, nil] {
            var request = EmbeddingRequest(inputs: [.tokens(prompt(20).map { Int($0) })])
            request.adapter = way
            vectors += try await withCheckedThrowingContinuation { continuation in
                served.server.embed(request) { continuation.resume(with: $0.map(\.vectors)) }
            }
        }
        #expect(vectors[0] == vectors[2])
        #expect(zip(vectors[0], vectors[1]).contains { abs($0 - $1) > 1e-3 })
    }

    // MARK: Memory

    @Test func theOnesThatWereUsedLastStayAndOneInUseIsNeverDropped() async throws {
        let (fixture, adapters) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try (1...4).map { try fixture.adapter($0, layers: ["q_proj"]) })
        }
        var options = LoadedLanguageModel.Options()
        options.adapterCount = 2
        let served = try ServedModel(options: options)
        let short = GenerationRequest.tokens(prompt(20), max: 2)
        let first = try await served.events(short.through(adapters[0]))
        _ = try await served.events(short.through(adapters[1]))
        #expect(served.adapters.resident.count == 2)
        // A third takes the place of one of them while a long answer goes on through the second.
        let long = served.started(.tokens(prompt(20), max: 150).through(adapters[1]))
        var stream = long.stream.makeAsyncIterator()
        _ = try await stream.next()
        _ = try await served.events(short.through(adapters[2]))
        _ = try await served.events(short.through(adapters[3]))
        #expect(served.adapters.resident.count == 2)
        var rest: [GenerationEvent] = []
        while let event = try await stream.next() { rest.append(event) }
        let alone = try await ServedModel().events(.tokens(prompt(20), max: 150).through(adapters[1]))
        #expect(rest.text() == alone.text())
        // The first one's folder is read again.
        #expect(try await served.events(short.through(adapters[0])).text() == first.text())
        withExtendedLifetime(fixture) {}
    }

    @Test func whereAllPlacesAreInUseOneMoreIsTold() async throws {
        let (fixture, adapters) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try (1...2).map { try fixture.adapter($0, layers: ["q_proj"]) })
        }
        var options = LoadedLanguageModel.Options()
        options.adapterCount = 1
        let served = try ServedModel(options: options, held: true)
        let first = served.started(.tokens(prompt(20), max: 2).through(adapters[0]))
        await #expect {
            _ = try await served.events(.tokens(prompt(20), max: 2).through(adapters[1]))
        } throws: {
            ($0 as? MartletError)?.code == .unavailable
        }
        await served.release()
        #expect(try await first.events().finish() == .length)
        _ = try await served.events(.tokens(prompt(20), max: 2).through(adapters[1]))
        withExtendedLifetime(fixture) {}
    }

    @Test func `L03: a client that leaves gives its adapter back`() async throws {
        let (fixture, adapters) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try (1...8).map { try fixture.adapter($0, layers: ["q_proj"]) })
        }
        var options = LoadedLanguageModel.Options()
        options.adapterCount = 1
        let served = try ServedModel(options: options)
        for adapter in adapters {
            let running = served.started(.tokens(prompt(20), max: 200).through(adapter))
            var stream = running.stream.makeAsyncIterator()
            _ = try await stream.next()
            served.server.cancel(running.id)
            while try await stream.next() != nil {}
        }
        #expect(served.adapters.resident.count == 1)
        withExtendedLifetime(fixture) {}
    }

    // MARK: What does not fit is refused by name, alone

    @Test func `M13: an adapter of another base or a broken one refuses only its own requests`() async throws {
        let (fixture, good, bad) = try compute.run {
            let fixture = try AdapterFixture("llama")
            let good = try fixture.adapter(1, layers: ["q_proj"])
            var bad: [(AdapterReference, MartletError.Code, String)] = []
            let other = try AdapterFixture("gpt2").adapter(2, layers: ["c_attn"])
            bad.append((other, .notFound, "adapter_config.json"))
            bad.append(
                (
                    try fixture.adapter(3, layers: ["q_proj"]) { tensors in
                        tensors = tensors.map { ($0.0.replacingOccurrences(of: "layers.0", with: "layers.99"), $0.1) }
                    }, .invalidRequest, "layers.99"
                ))
            bad.append(
                (
                    try fixture.adapter(4, layers: ["q_proj"]) { tensors in
                        tensors = try tensors.map { name, tensor in
                            guard name.hasSuffix("lora_A.weight") else { return (name, tensor) }
                            return (name, try tensor.narrow(1, from: 0, length: 7).contiguous())
                        }
                    }, .invalidRequest, "q_proj"
                ))
            let cut = try fixture.adapter(5, layers: ["q_proj"])
            let file = URL(filePath: cut.path).appending(path: "adapter_model.safetensors")
            try Data(contentsOf: file).dropLast(100).write(to: file)
            bad.append((cut, .invalidData, "adapter_model.safetensors"))
            bad.append(
                (try fixture.adapter(6, layers: ["q_proj"], config: ["use_dora": true]), .unsupportedFormat, "dora"))
            return (fixture, good, bad)
        }
        let served = try ServedModel()
        let request = GenerationRequest.tokens(prompt(30), max: 40)
        let alone = try await served.events(request.through(good)).text()
        let running = served.started(request.through(good))
        for (adapter, code, part) in bad {
            await #expect {
                _ = try await served.events(request.through(adapter))
            } throws: {
                let error = $0 as? MartletError
                return error?.code == code && error?.message.contains(part) == true
                    && error?.message.contains(adapter.reference) == true
            }
        }
        #expect(try await running.events().text() == alone)
        #expect(served.adapters.resident.count == 1)
        withExtendedLifetime(fixture) {}
    }

    @Test func anAdapterLargerThanItsBoundIsTold() async throws {
        let (fixture, adapter) = try compute.run {
            let fixture = try AdapterFixture("llama")
            return (fixture, try fixture.adapter(1, layers: ["q_proj"]))
        }
        var options = LoadedLanguageModel.Options()
        options.adapterBytes = 100
        let served = try ServedModel(options: options)
        await #expect {
            _ = try await served.events(.tokens(prompt(9), max: 2).through(adapter))
        } throws: {
            ($0 as? MartletError)?.code == .tooLarge
        }
        withExtendedLifetime(fixture) {}
    }
}
