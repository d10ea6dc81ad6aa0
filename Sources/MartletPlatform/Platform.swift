import Foundation
import Logging
import MartletStore
import MartletWire
import NIOPosix
import Synchronization

/// Everything that `martlet serve` does, without a transport.
public final class Platform: Sendable {
    public let configuration: Configuration
    public let projects: ProjectService
    public let keys: KeyService
    public let datasets: DatasetService
    public let models: ModelService
    public let imports: ModelImportService
    public let responses: ResponseService
    public let backgroundResponses: BackgroundResponseService
    public let files: FileService
    public let uploads: UploadService
    public let tuning: TuningService
    public let jobs: JobService
    public let deployments: DeploymentService
    public let ledger: Ledger
    public let budgets: BudgetService
    public let audit: AuditLog
    public let garbage: GarbageCollector
    public let completions: ChatCompletionService
    public let batches: BatchService
    public let evals: EvalService
    public let gates: GateService
    public let webhooks: WebhookService
    /// Where the transport leaves what answers background requests.
    public let executor: ExecutorSlot

    private let store: Store
    private let control: ControlServer
    private let lock: HomeLock
    private let reserve: DiskReserve
    private let clock: PlatformClock
    private let logger: Logger

    /// new → running → stopping → stopped; `shutdown` before `run` goes straight to the end.
    private enum Phase { case new, running, stopping, stopped }
    private struct Life {
        var phase = Phase.new
        var isReady = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let life = Mutex(Life())

    init(
        configuration: Configuration, projects: ProjectService, keys: KeyService, datasets: DatasetService,
        models: ModelService, imports: ModelImportService, responses: ResponseService,
        backgroundResponses: BackgroundResponseService,
        files: FileService,
        uploads: UploadService, tuning: TuningService, jobs: JobService,
        deployments: DeploymentService, ledger: Ledger, budgets: BudgetService, audit: AuditLog,
        garbage: GarbageCollector,
        completions: ChatCompletionService, batches: BatchService, evals: EvalService, gates: GateService,
        webhooks: WebhookService, executor: ExecutorSlot, store: Store,
        control: ControlServer, lock: HomeLock, reserve: DiskReserve,
        clock: PlatformClock, logger: Logger
    ) {
        self.configuration = configuration
        self.projects = projects
        self.keys = keys
        self.datasets = datasets
        self.models = models
        self.imports = imports
        self.responses = responses
        self.backgroundResponses = backgroundResponses
        self.files = files
        self.uploads = uploads
        self.tuning = tuning
        self.jobs = jobs
        self.deployments = deployments
        self.ledger = ledger
        self.budgets = budgets
        self.audit = audit
        self.garbage = garbage
        self.completions = completions
        self.batches = batches
        self.evals = evals
        self.gates = gates
        self.webhooks = webhooks
        self.executor = executor
        self.store = store
        self.control = control
        self.lock = lock
        self.reserve = reserve
        self.clock = clock
        self.logger = logger
    }

    /// Whether the platform has taken up what it had before and is not stopping; `/health/ready`.
    public var isReady: Bool { life.withLock { $0.isReady && $0.phase == .running } }

    /// Writes the URL that clients use into the lock file, once the listener knows its port.
    public func announce(url: String) throws { try lock.announce(url: url) }

    /// Whether a job runs or waits, for a `serve` that leaves when it is idle.
    public func hasWork() async throws -> Bool {
        if await jobs.hasWork() { return true }
        if await batches.hasWork() { return true }
        if await backgroundResponses.hasWork() { return true }
        return await evals.hasWork()
    }

    /// Runs until `shutdown` or cancellation. Then requests in flight are answered (30 seconds at most), replicas end,
    /// workers write a checkpoint and end (the next `serve` goes on with their jobs), and what is buffered is written.
    public func run() async throws {
        let isFirst = life.withLock { life in
            guard life.phase == .new else { return false }
            life.phase = .running
            return true
        }
        guard isFirst else { return }
        do {
            await budgets.refresh()
            try await jobs.start()
            try await control.start(group: MultiThreadedEventLoopGroup.singleton)
            await jobs.proceed()
            try await deployments.start()
            try await batches.start()
            try await evals.start()
            try await backgroundResponses.start()
            try await gates.start()
            life.withLock { $0.isReady = true }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.account() }
                group.addTask { await self.tidy() }
                group.addTask { await self.webhooks.run() }
                await self.untilShutdown()
                group.cancelAll()
            }
        } catch {
            await stop()
            throw error
        }
        await stop()
    }

    /// Begins the end of `run` and returns at once.
    public func shutdown() {
        let waiters = life.withLock { life in
            if life.phase != .stopped { life.phase = .stopping }
            defer { life.waiters = [] }
            return life.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private func untilShutdown() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = life.withLock { life in
                    if life.phase == .running, !Task.isCancelled {
                        life.waiters.append(continuation)
                        return false
                    }
                    return true
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            shutdown()
        }
    }

    /// Once a second: usage to disk, budgets looked at, work of lost keys ended.
    private func account() async {
        while (try? await clock.sleep(.seconds(1))) != nil {
            await jobs.charge()
            await budgets.refresh()
            await jobs.pauseSpent()
            await batches.endThoseOfLostKeys()
            await evals.endThoseOfLostKeys()
            await backgroundResponses.endThoseOfLostKeys()
        }
    }

    /// Now and then: idle models and expired files out. Both may take a while.
    private func tidy() async {
        while (try? await clock.sleep(.seconds(10))) != nil {
            await deployments.unloadIdle()
            await files.sweep()
            await datasets.forgetAbandonedUploads()
            reserve.fill()
        }
    }

    private func stop() async {
        life.withLock { $0.phase = .stopping }
        // A task of its own: the caller's is often cancelled already, and this must still be done.
        await Task {
            gates.stop()
            // Background requests first, so that replicas have only to answer those that someone waits for.
            async let lines: Void = batches.stop()
            async let items: Void = evals.stop()
            async let texts: Void = backgroundResponses.stop()
            _ = await (lines, items, texts)
            async let replicas: Void = deployments.stop()
            async let workers: Void = jobs.stop()
            _ = await (replicas, workers)
            await control.stop()
            await ledger.flush()
            do {
                try store.close()
            } catch {
                logger.error("the database was not closed in order: \(error)")
            }
            lock.release()
        }.value
        life.withLock { $0.phase = .stopped }
    }
}
