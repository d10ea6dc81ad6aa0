import Foundation
import Logging
import MartletStore
import MartletWire
import Synchronization

/// What was used: rows by hour, key, kind and resource. Counted in memory, written each second and at the end.
public final class Ledger: Sendable {
    private struct Slot: Hashable {
        var hour: Date
        var project: String
        var key: String
        var kind: String
        var resource: String
    }
    private struct Amount {
        var requests = 0
        var rows = 0
        var cpuSeconds = 0.0
        var promptTokens = 0
        var completionTokens = 0

        /// Amounts come from engine processes: none is negative, and a sum that does not fit stays as it was.
        mutating func add(_ other: Amount) {
            requests = Self.sum(requests, other.requests)
            rows = Self.sum(rows, other.rows)
            promptTokens = Self.sum(promptTokens, other.promptTokens)
            completionTokens = Self.sum(completionTokens, other.completionTokens)
            if other.cpuSeconds.isFinite { cpuSeconds += max(0, other.cpuSeconds) }
        }

        private static func sum(_ left: Int, _ right: Int) -> Int {
            let (sum, isOverflow) = left.addingReportingOverflow(max(0, right))
            return isOverflow ? left : sum
        }
    }
    private let store: Store
    private let clock: PlatformClock
    private let logger: Logger
    private let pending = Mutex<[Slot: Amount]>([:])

    init(store: Store, clock: PlatformClock, logger: Logger) {
        self.store = store
        self.clock = clock
        self.logger = logger
    }

    /// Counts one request or job. `project` and `key` are ids. Touches memory only.
    func count(
        project: String, key: String, kind: String, resource: String, rows: Int, cpuSeconds: Double,
        promptTokens: Int = 0, completionTokens: Int = 0
    ) {
        let hour = (clock.now().timeIntervalSince1970 / 3600).rounded(.down) * 3600
        let slot = Slot(
            hour: Date(timeIntervalSince1970: hour), project: project, key: key, kind: kind, resource: resource)
        let amount = Amount(
            requests: 1, rows: rows, cpuSeconds: cpuSeconds, promptTokens: promptTokens,
            completionTokens: completionTokens)
        pending.withLock { $0[slot, default: Amount()].add(amount) }
    }

    /// Writes what was counted; what cannot be written is kept for the next time.
    func flush() async {
        let taken = pending.withLock { pending in
            defer { pending = [:] }
            return pending
        }
        guard !taken.isEmpty else { return }
        do {
            try await store.add(
                taken.map { slot, amount in
                    UsageRow(
                        hour: slot.hour, project: slot.project, key: slot.key, kind: slot.kind,
                        resource: slot.resource, requests: amount.requests, rows: amount.rows,
                        cpuSeconds: amount.cpuSeconds, promptTokens: amount.promptTokens,
                        completionTokens: amount.completionTokens)
                })
        } catch {
            logger.error("usage could not be written and is kept in memory: \(error)")
            pending.withLock { pending in
                for (slot, amount) in taken { pending[slot, default: Amount()].add(amount) }
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
