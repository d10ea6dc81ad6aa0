import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletText
import MartletTraining
import MartletWire
import Synchronization

/// `bench-generate FOLDER [--precision P] [--prompt N] [--new N] [--sequences N] [--threads T] [--repeat R]
/// [--cache-mb C] [--adapters N] [--rank R] [--layers L,L]`: the speed and the memory of the server that `martlet serve` runs, as JSON. A folder with
/// a config.json alone is given random weights. With adapters, each round is measured for the base alone and for
/// sequences that go through the adapters by turns.
enum BenchGenerateCommand {
    private struct Options {
        var folder = ""
        var format: WeightFormat?
        var prompt = 128
        var new = 128
        var sequences = 1
        var threads = 2
        var repeats = 1
        /// Megabytes of keys and values; 0 is what a replica chooses.
        var cacheMegabytes = 0
        var adapters = 0
        var rank = 8
        var layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

        init(_ arguments: [String]) throws {
            var rest = arguments[...]
            while let argument = rest.popFirst() {
                guard argument.hasPrefix("--") else {
                    folder = argument
                    continue
                }
                guard let value = rest.popFirst() else { throw MartletError(.usage, "\(argument) needs a value") }
                if argument == "--precision" {
                    format = WeightFormat(rawValue: value)
                    continue
                }
                if argument == "--layers" {
                    layers = value.split(separator: ",").map(String.init)
                    continue
                }
                guard let number = Int(value), number > 0 else {
                    throw MartletError(.usage, "\(argument) is \(value); give a number of 1 or more")
                }
                switch argument {
                case "--prompt": prompt = number
                case "--new": new = number
                case "--sequences": sequences = number
                case "--threads": threads = number
                case "--repeat": repeats = number
                case "--cache-mb": cacheMegabytes = min(number, 1 << 20)
                case "--adapters": adapters = number
                case "--rank": rank = number
                default: throw MartletError(.usage, "unknown argument '\(argument)'")
                }
            }
            guard !folder.isEmpty else { throw MartletError(.usage, "bench-generate needs a model's folder") }
        }
    }

    static func run(_ arguments: [String]) throws {
        let options = try Options(arguments)
        let compute = ComputeThread()
        let made = Mutex<Made?>(nil)
        let ready = DispatchSemaphore(value: 0)
        let began = ContinuousClock.now
        let failure = Mutex<(any Error)?>(nil)
        Thread.detachNewThread {
            do {
                try compute.run {
                    try Torch.setThreadCount(options.threads)
                    let (model, adapters) = try load(options)
                    var bounds = LanguageServer.Bounds(
                        contextLength: model.contextLength, vocabularyCount: model.geometry.vocabularyCount)
                    bounds.readers = 1
                    let server = LanguageServer(
                        name: "model", text: text(model.geometry), bounds: bounds, adapters: model.adapters)
                    made.withLock {
                        $0 = Made(
                            server: server, library: model.adapters, adapters: adapters, weightBytes: model.weightBytes)
                    }
                    let text = "\(model.format.rawValue), logit error \(model.logitError ?? 0)"
                    FileHandle.standardError.write(Data("loaded in \(began.duration(to: .now)): \(text)\n".utf8))
                    ready.signal()
                    server.run(model)
                }
            } catch {
                failure.withLock { $0 = error }
                ready.signal()
            }
        }
        ready.wait()
        guard let made = made.withLock({ $0 }) else {
            throw failure.withLock { $0 } ?? MartletError(.internal, "the model was not loaded")
        }
        // The memory of the base by itself, once the pages of its cache were used.
        if made.adapters != nil { for round in 0..<3 { try measure(made, options, 1_000 + round, []) } }
        for round in 0..<options.repeats {
            try measure(made, options, round, [])
            if let adapters = made.adapters { try measure(made, options, round, adapters.references) }
        }
        made.server.drain()
    }

    private struct Made: Sendable {
        var server: LanguageServer
        var library: AdapterLibrary
        var adapters: BenchAdapters?
        var weightBytes: Int
    }

    private static func load(_ options: Options) throws -> (LoadedLanguageModel, BenchAdapters?) {
        let url = URL(filePath: options.folder)
        let model: any LanguageModel
        var deferred: DeferredWeights?
        if FileManager.default.fileExists(atPath: url.appending(path: BundleFile.weights).path) {
            let bundle = try LanguageBundle.load(url, leavesLinear: true)
            (model, deferred) = (bundle.model, bundle.deferred)
        } else {
            model = try LanguageModelCatalog.make(
                config: try JSONParser.parse(Data(contentsOf: url.appending(path: BundleFile.config))))
            try model.initialize(seed: 1)
        }
        try model.setTrainable(false)
        var loading = LoadedLanguageModel.Options()
        loading.format = options.format
        loading.cacheBytes = options.cacheMegabytes << 20
        let geometry = model.geometry
        let adapters =
            options.adapters > 0
            ? try BenchAdapters(options.adapters, rank: options.rank, layers: options.layers, for: model) : nil
        let loaded = try LoadedLanguageModel(
            model, deferred: deferred, vocabulary: text(geometry).vocabulary, options: loading)
        return (loaded, adapters)
    }

    private static func text(_ geometry: LanguageGeometry) -> LanguageText {
        LanguageText(
            encode: { text, _ in text.utf8.map { Int($0) } }, decode: { _ in "" }, render: nil,
            vocabulary: TokenVocabulary(
                bytes: Array(repeating: [120], count: geometry.vocabularyCount), endTokens: []),
            sampling: Sampling(temperature: 0))
    }

    private static func measure(
        _ made: Made, _ options: Options, _ round: Int, _ adapters: [AdapterReference]
    ) throws {
        struct Marks {
            var first: [ContinuousClock.Instant] = []
            var texts = 0
            var usage: [GenerationUsage] = []
            var error: MartletError?
        }
        let marks = Mutex(Marks())
        let done = DispatchSemaphore(value: 0)
        let began = ContinuousClock.now
        for sequence in 0..<options.sequences {
            let prompt = (0..<options.prompt).map { ($0 * 7919 + (sequence + round * 64) * 104_729) % 20_000 + 300 }
            var request = GenerationRequest(
                prompt: .tokens(prompt), maxTokens: options.new, ignoreEnd: true, tenant: "bench",
                owner: "bench")
            if !adapters.isEmpty { request.adapter = adapters[(sequence + round) % adapters.count] }
            let isFirst = Mutex(true)
            made.server.generate(request) { event in
                switch event {
                case .success(.text):
                    if isFirst.withLock({ first in
                        defer { first = false }
                        return first
                    }) {
                        marks.withLock { $0.first.append(.now) }
                    }
                case .success(.done(let usage)):
                    marks.withLock { $0.usage.append(usage) }
                    done.signal()
                case .failure(let error):
                    marks.withLock { $0.error = error }
                    done.signal()
                case .success: break
                }
            }
        }
        for _ in 0..<options.sequences { done.wait() }
        let end = ContinuousClock.now
        let result = marks.withLock { $0 }
        if let error = result.error { throw error }
        let firsts = result.first.map { seconds(began.duration(to: $0)) }.sorted()
        let last = firsts.last ?? 0
        let total = seconds(began.duration(to: end))
        let tokens = result.usage.reduce(0) { $0 + $1.completionTokens }
        let json: JSON = [
            "sequences": .int(Int64(options.sequences)), "adapters": .int(Int64(adapters.count)),
            "prompt_tokens_per_second":
                .double(Double(options.prompt * options.sequences) / last), "first_token_seconds": .double(last),
            "decode_tokens_per_second": .double(Double(tokens - options.sequences) / (total - last)),
            "tokens_per_second": .double(Double(tokens) / total),
            "resident_bytes": .int(Int64(ProcessMemory.residentBytes)),
            "peak_bytes": JSON(status("VmHWM")), "anonymous_bytes": JSON(status("RssAnon")),
            "weight_bytes": JSON(made.weightBytes), "adapter_bytes": .int(Int64(made.library.resident.bytes)),
        ]
        print(json.serialized())
    }

    /// Bytes of a line of this process's status; 0 where the system has none.
    private static func status(_ name: String) -> Int {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
        return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) << 10
    }

    private static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }
}
