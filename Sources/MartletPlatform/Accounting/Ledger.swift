import Foundation
import Logging
import MartletStore
import MartletWire
import Synchronization

/// What was used: rows by hour, key, kind and resource.
///
/// What someone waits for is counted in memory and written each second and at the end, so that a `kill -9` loses a second
/// at most. What a batch's line, an eval's item or a job used is written in the transaction that keeps its result.
public final class Ledger: Sendable {
    private let store: Store
    private let clock: PlatformClock
    private let logger: Logger
    private let pending = Mutex<[UsageSlot: UsageAmount]>([:])

    init(store: Store, clock: PlatformClock, logger: Logger) {
        self.store = store
        self.clock = clock
        self.logger = logger
    }

    /// Counts one request of `principal`: on its tab where it has one. Touches memory only.
    func count(
        by principal: Principal, kind: String, resource: String, rows: Int, cpuSeconds: Double, promptTokens: Int = 0,
        completionTokens: Int = 0
    ) {
        let slot = UsageSlot(
            hour: UsageSlot.hour(of: clock.now()), project: principal.project, key: principal.keyID, kind: kind,
            resource: resource)
        let amount = UsageAmount(
            requests: 1, rows: rows, cpuSeconds: cpuSeconds, promptTokens: promptTokens,
            completionTokens: completionTokens)
        if let tab = principal.tab {
            tab.add(amount, to: slot)
        } else {
            pending.withLock { $0[slot, default: UsageAmount()].add(amount) }
        }
    }

    /// Writes what was counted; what cannot be written is kept for the next time.
    func flush() async {
        let taken = pending.withLock { pending in
            defer { pending = [:] }
            return pending
        }
        guard !taken.isEmpty else { return }
        do {
            try await store.add(taken.map { $0.row($1) })
        } catch {
            logger.error("usage could not be written and is kept in memory: \(error)")
            pending.withLock { pending in
                for (slot, amount) in taken { pending[slot, default: UsageAmount()].add(amount) }
            }
        }
    }

    /// Hours from `from` until before `to`; an admin sees all projects, others their own. Inference keys may not ask.
    public func usage(from: Date? = nil, to: Date? = nil, by principal: Principal) async throws -> [UsageRow] {
        try principal.require(.developer, .auditor)
        await flush()
        return try await store.usage(
            projectID: principal.role == .admin ? nil : principal.project, from: from, to: to)
    }
}
