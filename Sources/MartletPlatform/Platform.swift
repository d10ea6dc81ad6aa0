import Foundation
import Logging
import MartletStore
import MartletWire

/// Everything that `martlet serve` does, without a transport.
public final class Platform: Sendable {
    public let configuration: Configuration
    public let projects: ProjectService
    public let keys: KeyService
    public let datasets: DatasetService
    public let models: ModelService
    public let jobs: JobService
    public let deployments: DeploymentService
    public let ledger: Ledger
    public let audit: AuditLog
    public let garbage: GarbageCollector

    init(
        configuration: Configuration, projects: ProjectService, keys: KeyService, datasets: DatasetService,
        models: ModelService, jobs: JobService, deployments: DeploymentService, ledger: Ledger, audit: AuditLog,
        garbage: GarbageCollector
    ) {
        self.configuration = configuration
        self.projects = projects
        self.keys = keys
        self.datasets = datasets
        self.models = models
        self.jobs = jobs
        self.deployments = deployments
        self.ledger = ledger
        self.audit = audit
        self.garbage = garbage
    }

    /// Whether the platform has started everything that it had before; `/health/ready`.
    public var isReady: Bool { false }

    /// Writes the URL that clients use into the lock file, once the listener knows its port.
    public func announce(url: String) throws {}

    /// Whether a job runs or waits, for a `serve` that leaves when it is idle.
    public func hasWork() async throws -> Bool { false }

    /// Runs until `shutdown` or cancellation; then ends replicas, leaves workers running, writes what is buffered and
    /// gives HOME free.
    public func run() async throws {}

    /// Begins the end of `run`: requests in flight are answered, for at most 30 seconds.
    public func shutdown() async {}
}
