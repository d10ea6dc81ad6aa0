import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletTesting
import MartletTraining
import MartletWire
import Synchronization
import Testing

/// The one thread of these tests on which tensors live; what runs on it is never interleaved.
let compute = ComputeThread()

/// Runs `body` as a worker does: on the compute thread, deterministic, with one thread an operator.
func onCompute<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
    try compute.run {
        try Torch.setDeterministic(true)
        try Torch.setThreadCount(1)
        return try body()
    }
}

extension Scratch {
    func prepare(_ recipe: Recipe, _ files: [String]) throws -> PreparedData {
        try DataPipeline.prepare(
            recipe, sources: ResolvedSources(all: files), cacheDirectory: path + "/cache-" + UUID().uuidString)
    }
}

func recipe(_ text: String, _ settings: [String] = []) throws -> Recipe {
    try RecipeReader.read(text: text, file: "recipe.yaml", settings: settings).recipe
}

/// A file of `examples/`.
func example(_ name: String) -> String {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    return root.appending(path: "examples/\(name)").path
}

func exampleText(_ name: String) throws -> String { try String(contentsOfFile: example(name), encoding: .utf8) }

/// What a job told.
final class Told: Sendable {
    private let collected = Mutex<[JobEvent]>([])
    private let asked = Mutex(0)
    private let phase = Mutex("")
    private let kept = Mutex<[TunedCheckpoint]>([])
    /// The models that graders ask.
    typealias Models = @Sendable (ModelQuestions, () throws -> Void) throws -> ModelAnswers
    private let models: Models?

    init(models: Models? = nil) { self.models = models }

    /// Points of a tuning job that can answer.
    var points: [TunedCheckpoint] { kept.withLock { $0 } }
    var events: [JobEvent] { collected.withLock { $0 } }
    func event(_ key: String) -> JobEvent? { events.first { $0.key == key } }
    func keys(_ prefix: String) -> [String] { events.map(\.key).filter { $0.hasPrefix(prefix) } }

    /// A link whose `stop` is answered by the number of the question in a phase, from 1; in all where it is empty.
    func link(in stopPhase: String = "training", stop: @escaping @Sendable (Int) -> JobLink.Stop? = { _ in nil })
        -> JobLink
    {
        JobLink(
            event: { event in self.collected.withLock { $0.append(event) } },
            progress: { progress in self.phase.withLock { $0 = progress.phase } },
            stop: {
                guard stopPhase.isEmpty || self.phase.withLock({ $0 }) == stopPhase else { return nil }
                return stop(
                    self.asked.withLock {
                        $0 += 1
                        return $0
                    })
            }, checkpoint: { point in self.kept.withLock { $0.append(point) } }, ask: models)
    }
}

/// One training job in a folder of its own.
struct Job: Sendable {
    let scratch: Scratch
    let recipe: JSON
    let data: [String: String]
    let directory: String

    /// `data` is the content of each file by the name that the recipe gives it.
    init(_ text: String, _ settings: [String] = [], data: [String: String] = [:], files: [String: String] = [:]) throws
    {
        scratch = try Scratch()
        recipe = try RecipeReader.read(text: text, file: "recipe.yaml", settings: settings).tree
        directory = scratch.path + "/job"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var paths = files
        for (name, content) in data { paths[name] = try scratch.write(name, content) }
        self.data = paths
    }

    func run(
        _ told: Told, in phase: String = "training", stop: @escaping @Sendable (Int) -> JobLink.Stop? = { _ in nil }
    ) throws -> JobOutcome {
        try run(told.link(in: phase, stop: stop))
    }

    func run(_ link: JobLink) throws -> JobOutcome {
        let task = TrainTask(
            jobID: "job-1", recipe: recipe,
            datasets: data.map {
                DatasetMount(reference: $0.key, resolved: "\($0.key)@1", contentHash: "", path: $0.value)
            },
            directory: directory, share: MachineShare(threads: 1))
        return try onCompute { try TrainJob(task, link: link, serving: .plain).run() }
    }

    /// Runs to the end.
    func finish(_ told: Told = Told()) throws -> ModelCard {
        guard case .finished(let result) = try run(told) else {
            throw MartletError(.internal, "the job did not finish")
        }
        return try #require(result.card)
    }

    var bundle: String { directory + "/bundle" }
    var weights: Data { get throws { try Data(contentsOf: URL(filePath: bundle + "/model.safetensors")) } }
}

func isClose(_ actual: Double, _ expected: Double, rtol: Double = 1e-5, atol: Double) -> Bool {
    abs(actual - expected) <= atol + rtol * abs(expected)
}

/// A file of golden values, made by `scripts/golden/make_programs.py`.
func golden<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
    return try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
}

/// A table with numbers, a category and words, and what they say: repeatable, and with noise that cannot be learnt.
func mixedTable(rows: Int, seed: UInt64 = 5) -> String {
    var state = seed
    func next() -> Double {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Double(state >> 11) / Double(1 << 53)
    }
    var text = "a,b,color,note,label,y\n"
    for _ in 0..<rows {
        let (a, b, color) = (next() * 4 - 2, next() * 4 - 2, ["red", "green", "blue"][Int(next() * 3)])
        let isHigh = a + 0.5 * b + (color == "red" ? 1 : 0) + next() - 0.5 > 0.3
        let note = isHigh ? "bright and warm day" : next() > 0.5 ? "cold day" : "rain"
        text += String(format: "%.3f,%.3f,", a, b) + "\(color),\(note),\(isHigh ? "high" : "low"),"
        text += String(format: "%.3f\n", 2 * a - b + 0.2 * next())
    }
    return text
}
