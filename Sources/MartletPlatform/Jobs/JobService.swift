import Foundation
import Logging
import MartletStore
import MartletWire

/// What someone who follows a job hears.
public enum JobUpdate: Sendable {
    case event(JobEventInfo)
    case progress(JobProgress)
    /// The job with its new state; the stream ends after a final one.
    case state(JobInfo)
}

/// Background work: accepted, queued, run in worker processes, never lost and never done twice.
public actor JobService {
    let store: Store
    let audit: AuditLog
    let control: ControlServer
    let launcher: EngineLauncher
    let folders: TreeFolders
    let deployments: DeploymentService
    let budgets: BudgetService
    /// What answers graders' questions, and the places for them that batches and evals share.
    let executor: ExecutorSlot
    let gate: BackgroundGate
    let configuration: Configuration
    let home: String
    let clock: PlatformClock
    let logger: Logger

    /// One unfinished job, or a final one whose worker has not ended yet.
    struct Run {
        var job: StoredJob
        var machine: JobMachine
        var inputs: [JobInput]
        var connection: EngineConnection?
        var process: EngineProcess?
        var timer: Task<Void, Never>?
        var progress: JobProgress?
        var result: JobResult?
        /// Until when its worker was charged; nil while none runs, and once the rest comes with the result.
        var chargedAt: Date?
        /// The state that could not be stored yet.
        var unsaved: (state: JobState, error: MartletError?)?
        /// Events that wait for the one whose actions are being carried out.
        var queue: [(event: JobMachine.Event, done: CheckedContinuation<Void, Never>?)] = []
        var isBusy = false
    }
    var runs: [String: Run] = [:]
    /// Jobs that wait for a place, oldest first, and those that were just given one.
    var waiting: [String] = []
    var granted: Set<String> = []
    var followers = JobFollowers()
    var isStopping = false
    /// Jobs that an earlier `serve` left running.
    var recoveredJobs: [String] = []

    init(
        store: Store, audit: AuditLog, control: ControlServer, launcher: EngineLauncher, folders: TreeFolders,
        deployments: DeploymentService, budgets: BudgetService, executor: ExecutorSlot, gate: BackgroundGate,
        configuration: Configuration, home: String, clock: PlatformClock, logger: Logger
    ) {
        self.store = store
        self.audit = audit
        self.control = control
        self.launcher = launcher
        self.folders = folders
        self.deployments = deployments
        self.budgets = budgets
        self.executor = executor
        self.gate = gate
        self.configuration = configuration
        self.home = home
        self.clock = clock
        self.logger = logger
    }

    /// Accepts a job.
    ///
    /// The same `idempotencyKey` (24 hours) and body give the first job again, another body throws
    /// `idempotencyKeyReused`. A `retryCount` above 0 (`x-stainless-retry-count`) with the same API key and
    /// body within ten minutes gives the first job too.
    public func submit(
        _ request: JobRequest, idempotencyKey: String? = nil, retryCount: Int = 0, by principal: Principal
    ) async throws -> JobInfo {
        try principal.require(.developer)
        if let idempotencyKey, !(1...255).contains(idempotencyKey.utf8.count) {
            throw MartletError(
                .invalidRequest, "the Idempotency-Key must have 1 to 255 bytes", param: "Idempotency-Key")
        }
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        var request = request
        request.kind = JobInputs.kind(of: request)
        let (name, inputs) = try await JobInputs(store: store, now: clock.now()).resolve(
            request, projectID: principal.project)
        try await checkGraders(request, by: principal)
        return try await accept(
            request, name: name, inputs: inputs, idempotencyKey: idempotencyKey, retryCount: retryCount, by: principal)
    }

    /// A job that reads the files of an upload and registers the model `name`.
    /// `base` is the model that an adapter is added to.
    func submitImport(
        name: String, treeHash: String, base: String?, by principal: Principal
    ) async throws -> JobInfo {
        try principal.require(.developer)
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        let input = JobInput(
            kind: JobInput.upload, reference: name, name: name, version: 0, treeHash: treeHash)
        var inputs = [input]
        if let base { inputs.append(try await JobInputs(store: store).adaptable(base, projectID: principal.project)) }
        return try await accept(
            JobRequest(kind: .import, name: name, model: base), name: name, inputs: inputs, idempotencyKey: nil,
            retryCount: 0,
            by: principal)
    }

    private func accept(
        _ request: JobRequest, name: String, inputs: [JobInput], idempotencyKey: String?, retryCount: Int,
        by principal: Principal
    ) async throws -> JobInfo {
        if Self.isPausable(request.kind) || request.kind == .evaluate { try budgets.check(principal.project) }
        let queued = waiting.count { runs[$0]?.job.projectID == principal.project }
        guard queued < configuration.maxQueuedJobs else {
            throw MartletError(
                .rateLimited,
                "\(queued) jobs of this project wait already; wait for some, cancel some, or raise max_queued_jobs")
        }
        var info = JobInfo(
            id: (request.kind == .fineTune ? "ftjob-" : "job_") + (try [UInt8].random(count: 12).hex),
            kind: request.kind, name: name, state: .queued,
            createdAt: clock.now())
        info.recipe = request.recipe
        let (job, isNew) = try await store.submit(
            StoredJob(info: info, projectID: principal.project, keyID: principal.keyID, request: request),
            inputs: inputs,
            repetition: idempotencyKey.map { .key($0) } ?? .body(isRetry: retryCount > 0),
            bodyHash: ContentHash.of(try JSONEncoder.wire.encode(request)))
        if isNew {
            runs[job.info.id] = Run(
                job: job, machine: JobMachine(maxRestarts: configuration.maxRestarts), inputs: inputs)
            waiting.append(job.info.id)
            if request.kind == .fineTune {
                await note(
                    "created", "Created fine-tuning job: \(job.info.id)", level: "info", job: job.info.id)
            }
            schedule()
        }
        return shown(job)
    }

    /// Final within ten seconds.
    public func cancel(_ id: String, by principal: Principal) async throws -> JobInfo {
        let job = try await job(id, by: principal)
        guard !job.info.state.isFinal else { return shown(job) }
        try await audit.record("job.cancel", on: id, by: principal)
        waiting.removeAll { $0 == id }
        await handle(.cancelRequested, job: id)
        return try await show(id, by: principal)
    }

    /// The worker stops at a checkpoint; the state is `pausing` until it has.
    public func pause(_ id: String, by principal: Principal) async throws -> JobInfo {
        let job = try await job(id, by: principal)
        guard !job.info.state.isFinal else { throw Self.isOver(job, "paused") }
        waiting.removeAll { $0 == id }
        await handle(.pauseRequested, job: id)
        return try await show(id, by: principal)
    }

    /// Back into the queue; a job that is not paused stays as it is. Throws `insufficientQuota` while the project's
    /// budget is spent.
    public func resume(_ id: String, by principal: Principal) async throws -> JobInfo {
        let job = try await job(id, by: principal)
        guard !job.info.state.isFinal else { throw Self.isOver(job, "resumed") }
        if Self.isPausable(job.info.kind) { try budgets.check(job.projectID) }
        await handle(.resumeRequested, job: id)
        return try await show(id, by: principal)
    }

    // MARK: For the other services

    /// Whether a job waits or runs.
    func hasWork() -> Bool { runs.values.contains { $0.machine.phase != .paused || $0.machine.hasWorker } }

    /// Jobs whose folders are in use.
    func activeJobs() -> Set<String> { Set(runs.keys) }

    func folder(of id: String) -> String { "\(home)/run/jobs/\(id)" }
    func logPath(of id: String) -> String { folder(of: id) + "/log" }

    /// Throws the same `notFound` for an unknown id and for another project's, and writes the latter down.
    func job(_ id: String, by principal: Principal) async throws -> StoredJob {
        try principal.require(.developer)
        if let job = try await store.job(id, projectID: principal.project) { return job }
        await audit.noteForeign(.job, id, by: principal)
        throw MartletError(.notFound, "there is no job '\(id.prefix(60))'; see 'martlet jobs list'")
    }

    func shown(_ job: StoredJob) -> JobInfo {
        var info = job.info
        guard !info.state.isFinal, let run = runs[info.id] else { return info }
        info.progress = run.progress
        if let unsaved = run.unsaved { (info.state, info.error) = unsaved }
        return info
    }

    private static func isOver(_ job: StoredJob, _ what: String) -> MartletError {
        MartletError(
            .conflict, "job \(job.info.id) has \(job.info.state.rawValue) and cannot be \(what); start a new one")
    }
}
