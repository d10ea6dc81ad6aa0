import Foundation
import Logging
import MartletStore
import MartletWire

extension Platform {
    /// The composition root: takes HOME for this process, opens what is in it and wires the services together.
    ///
    /// Makes HOME, its admin key and the project `default` at the first start. Throws `conflict` with the owner's
    /// process id and URL where another process has HOME.
    public static func build(
        home: String, configuration: Configuration, logger: Logger, clock: PlatformClock = .system
    ) async throws -> Platform {
        let taken = try TakenHome(home)
        let (home, store, blobs, folders) = (taken.path, taken.store, taken.blobs, taken.folders)
        let audit = AuditLog(store: store, clock: clock)
        let ledger = Ledger(store: store, clock: clock, logger: logger)
        let budgets = BudgetService(store: store, ledger: ledger, audit: audit, clock: clock, logger: logger)
        let projects = ProjectService(store: store, audit: audit, clock: clock)
        let keys = KeyService(store: store, audit: audit, clock: clock)
        try await prepare(home: home, store: store, keys: keys, clock: clock)

        let control = try ControlServer(home: home, logger: logger)
        let launcher = EngineLauncher(socketPath: control.path, configuredProgram: configuration.enginePath)
        let deployments = DeploymentService(
            store: store, audit: audit, ledger: ledger, budgets: budgets,
            environment: .init(
                store: store, control: control, launcher: launcher, folders: folders, configuration: configuration,
                home: home, clock: clock, logger: logger))
        let executor = ExecutorSlot()
        let gate = BackgroundGate(limit: configuration.backgroundRequests)
        let jobs = JobService(
            store: store, audit: audit, control: control, launcher: launcher, folders: folders,
            deployments: deployments, budgets: budgets, executor: executor, gate: gate, configuration: configuration,
            home: home, clock: clock, logger: logger)
        let background = BackgroundEnvironment(
            store: store, files: WorkFiles(store: store, blobs: blobs, clock: clock), audit: audit,
            keys: keys, executor: executor, gate: gate, configuration: configuration, clock: clock, logger: logger)
        let evals = EvalService(background)
        let policy = OutboundPolicy(hosts: configuration.outboundHosts)
        let uploads = Uploads(blobs: blobs, byteLimit: configuration.uploadLimitBytes, clock: clock)
        let files = FileService(
            store: store, blobs: blobs, jobs: jobs, audit: audit, clock: clock, logger: logger,
            reserve: taken.reserve, byteLimit: configuration.uploadLimitBytes)
        return Platform(
            configuration: configuration, projects: projects, keys: keys,
            datasets: DatasetService(
                store: store, uploads: uploads, jobs: jobs, audit: audit, clock: clock, reserve: taken.reserve),
            models: ModelService(
                store: store, blobs: blobs, deployments: deployments, audit: audit, reserve: taken.reserve),
            imports: ModelImportService(store: store, uploads: uploads, jobs: jobs, audit: audit, clock: clock),
            responses: ResponseService(store: store, audit: audit, clock: clock),
            backgroundResponses: BackgroundResponseService(background, deployments: deployments), files: files,
            uploads: UploadService(files: files),
            tuning: TuningService(store: store, jobs: jobs, files: files, clock: clock), jobs: jobs,
            deployments: deployments, ledger: ledger, budgets: budgets, audit: audit,
            garbage: GarbageCollector(
                store: store, blobs: blobs, folders: folders, jobs: jobs, audit: audit, home: home,
                reserve: taken.reserve),
            completions: ChatCompletionService(store: store, audit: audit), batches: BatchService(background),
            evals: evals,
            gates: GateService(
                deployments: deployments, evals: evals, keys: keys, audit: audit, store: store, clock: clock,
                logger: logger),
            webhooks: WebhookService(
                store: store, endpoints: try webhookEndpoints(configuration, home: home, policy: policy),
                policy: policy,
                clock: clock, logger: logger), executor: executor,
            store: store, control: control, lock: taken.lock, reserve: taken.reserve, clock: clock, logger: logger)
    }

    /// HOME, this process's alone from now on, with what is in it.
    private struct TakenHome {
        let path: String
        let lock: HomeLock
        let store: Store
        let blobs: BlobStore
        let folders: TreeFolders
        let reserve: DiskReserve

        init(_ home: String) throws {
            path = URL(fileURLWithPath: home).standardizedFileURL.path
            try HomeFolder.make(path)
            lock = try HomeLock(home: path)
            try DurableFile.makeFolder(path + "/run/jobs")
            store = try Store(path: path + "/martlet.sqlite")
            blobs = try BlobStore(home: path)
            folders = try TreeFolders(home: path, blobs: blobs)
            reserve = DiskReserve(home: path)
            reserve.fill()
        }
    }

    private static func webhookEndpoints(
        _ configuration: Configuration, home: String, policy: OutboundPolicy
    ) throws -> [WebhookEndpoint] {
        guard !configuration.webhookFile.isEmpty else { return [] }
        let path = URL(fileURLWithPath: configuration.webhookFile, relativeTo: URL(fileURLWithPath: home + "/")).path
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw MartletError(
                .usage, "the webhook file '\(configuration.webhookFile)' cannot be read; check webhook_file")
        }
        return try WebhookEndpoint.read(text, policy: policy)
    }

    /// The project `default` and the admin key that HOME's owner uses. A lost key file gets a new key, and the one of
    /// before stops working.
    private static func prepare(home: String, store: Store, keys: KeyService, clock: PlatformClock) async throws {
        if try await store.project("default") == nil {
            try await store.insert(
                ProjectInfo(id: "proj_\(try [UInt8].random(count: 8).hex)", name: "default", createdAt: clock.now()))
        }
        let path = home + "/admin.key"
        guard !FileManager.default.fileExists(atPath: path), let project = try await store.project("default") else {
            return
        }
        for key in try await store.keys(projectID: project.id) where key.info.name == "home-admin" {
            try await store.revokeKey(id: key.info.id, at: clock.now())
        }
        let key = try await keys.insert(name: "home-admin", role: .admin, project: project, expiresAt: nil)
        guard let secret = key.secret else { throw MartletError(.internal, "the admin key could not be made") }
        try DurableFile.replace(path, with: Array((secret + "\n").utf8))
    }
}
