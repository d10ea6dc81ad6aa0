import Logging
import MartletStore

/// What batches and evals need of the platform.
struct BackgroundEnvironment: Sendable {
    let store: Store
    let files: WorkFiles
    let audit: AuditLog
    let keys: KeyService
    let executor: ExecutorSlot
    /// Shared by both: requests under way at once.
    let gate: BackgroundGate
    let configuration: Configuration
    let clock: PlatformClock
    let logger: Logger
}
