import Foundation

/// Time as the platform sees it; tests bring their own.
public struct PlatformClock: Sendable {
    public var now: @Sendable () -> Date
    /// Throws `CancellationError` where the task is cancelled meanwhile.
    public var sleep: @Sendable (Duration) async throws -> Void

    public init(
        now: @escaping @Sendable () -> Date, sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.now = now
        self.sleep = sleep
    }

    public static let system = PlatformClock(now: { Date() }, sleep: { try await Task.sleep(for: $0) })
}
