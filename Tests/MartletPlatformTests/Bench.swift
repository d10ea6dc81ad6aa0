import Foundation
import Logging
import MartletPlatform
import MartletTesting
import MartletWire
import NIOCore
import Testing

/// A platform on a fresh HOME with a fake engine, and what tests do with it again and again.
final class Bench: Sendable {
    let home: String
    let engine: FakeEngine
    let platform: Platform
    let admin: Principal
    private let running: Task<Void, any Error>

    /// `home` continues where an earlier bench left off.
    init(
        home: String? = nil, clock: PlatformClock = .byTurns, change: (inout Configuration) -> Void = { _ in }
    ) async throws {
        let home = home ?? NSTemporaryDirectory() + "martlet-\(UUID().uuidString.prefix(8))"
        self.home = home
        engine = try await FakeEngine(folder: home + "-engine")
        var configuration = Configuration()
        configuration.enginePath = engine.program
        configuration.workerThreads = 1
        change(&configuration)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let platform = try await Platform.build(
            home: home, configuration: configuration, logger: logger, clock: clock)
        self.platform = platform
        running = Task { try await platform.run() }
        let key = try String(contentsOfFile: home + "/admin.key", encoding: .utf8).trimmingCharacters(in: .newlines)
        admin = try await platform.keys.authenticate(key)
        try await eventually { platform.isReady }
    }

    /// Ends the platform in order. `keep` leaves HOME for the next bench.
    func stop(keep: Bool = false) async throws {
        platform.shutdown()
        try await running.value
        if !keep {
            try? FileManager.default.removeItem(atPath: home)
            try? FileManager.default.removeItem(atPath: home + "-engine")
        }
    }

    /// A key of a role in a project, as the principal that it stands for.
    func principal(_ role: Role, project: String = "default") async throws -> Principal {
        let key = try await platform.keys.create(
            name: "k-\(UUID().uuidString.prefix(6))", role: role, project: project, by: admin)
        return try await platform.keys.authenticate(try #require(key.secret))
    }

    /// Adds a dataset of small files. Its import job is left to the caller.
    func addDataset(_ name: String, _ files: [String: String], by principal: Principal? = nil) async throws
        -> DatasetInfo
    {
        let principal = principal ?? admin
        let upload = try await platform.datasets.beginVersion(name: name, by: principal)
        for (path, text) in files {
            _ = try await platform.datasets.addFile(upload: upload, path: path, body: body(text), by: principal)
        }
        return try await platform.datasets.commit(upload: upload, by: principal)
    }

    /// Adds a dataset and plays its import job to the end.
    func importDataset(_ name: String, by principal: Principal? = nil) async throws -> DatasetInfo {
        let dataset = try await addDataset(name, ["data.csv": "x,y\n1,2\n"], by: principal)
        let worker = try #require(await engine.next())
        let (connection, _) = try await worker.dial()
        try await connection.request(.finish(JobResult(report: ["rows": 1], usage: .init(cpuSeconds: 0, rows: 1))))
        worker.kill()
        return dataset
    }

    /// A training recipe over a dataset.
    func recipe(_ name: String = "m", source: String = "d", deploy: Bool = false) -> JSON {
        var recipe: JSONObject = [
            "name": .string(name), "data": ["source": .string(source)], "inputs": ["x": ["type": "number"]],
            "outputs": ["y": ["type": "number"]],
        ]
        if deploy { recipe["deploy"] = ["as": .string(name), "replicas": 1] }
        return .object(recipe)
    }

    /// Submits a training job and waits for its worker.
    func startTraining(deploy: Bool = false) async throws -> (JobInfo, FakeEngine.Started) {
        let job = try await platform.jobs.submit(
            JobRequest(kind: .train, recipe: recipe(deploy: deploy)), by: admin)
        return (job, try #require(await engine.next()))
    }

    /// Writes a bundle as a worker would and says that the job is done.
    func finish(_ connection: FakeConnection, _ task: EngineTask, weights: String = "w", unmet: [String] = [])
        async throws
    {
        guard case .train(let train) = task else {
            Issue.record("not a training task")
            return
        }
        let folder = train.directory + "/bundle"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var card = ModelCard()
        card.name = "m"
        card.unmetRequirements = unmet
        let files: [(String, Data)] = [
            (BundleFile.weights, Data(weights.utf8)), (BundleFile.preprocessing, Data("{}".utf8)),
            (BundleFile.card, try JSONEncoder.wire.encode(card)),
            (BundleFile.signature, try JSONEncoder.wire.encode(Signature())),
        ]
        for (name, data) in files { try data.write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
        try await connection.request(
            .finish(JobResult(bundle: "bundle", card: card, usage: .init(cpuSeconds: 1.5, rows: 10))))
    }

    /// Trains a model to its end.
    func train(weights: String = "w") async throws -> JobInfo {
        let (job, worker) = try await startTraining()
        let (connection, task) = try await worker.dial()
        try await finish(connection, task, weights: weights)
        worker.kill()
        return try await platform.jobs.show(job.id, by: admin)
    }

    func state(_ id: String) async throws -> JobState { try await platform.jobs.show(id, by: admin).state }
}

func body(_ text: String) -> AsyncStream<ByteBuffer> {
    AsyncStream { continuation in
        continuation.yield(ByteBuffer(string: text))
        continuation.finish()
    }
}

extension PlatformClock {
    /// For replicas and workers that a test plays: whoever waits for them waits until the test had its turns.
    static let byTurns = PlatformClock(now: { Date() }, sleep: { try await sleepByTurns($0) })
}

/// The code of the error that `body` throws.
func code(_ body: () async throws -> Void) async -> MartletError.Code? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? MartletError)?.code
    }
}
