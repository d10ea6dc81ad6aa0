import Foundation
import Logging
import MartletStore
import MartletWire
import Synchronization

/// What projects may use in a calendar month (UTC).
///
/// Looked at once a second: what is under way when a budget is spent is finished, so a project can go over it by what
/// it uses in that second.
public final class BudgetService: Sendable {
    private let store: Store
    private let ledger: Ledger
    private let audit: AuditLog
    private let clock: PlatformClock
    private let logger: Logger
    /// Projects that may not go on, by id, and why.
    private let spent = Mutex<[String: MartletError]>([:])

    init(store: Store, ledger: Ledger, audit: AuditLog, clock: PlatformClock, logger: Logger) {
        self.store = store
        self.ledger = ledger
        self.audit = audit
        self.clock = clock
        self.logger = logger
    }

    /// Throws `insufficientQuota` where the project's budget is spent. Touches memory only.
    func check(_ project: String) throws {
        if let reason = spent.withLock({ $0[project] }) { throw reason }
    }

    /// Why the projects that may not go on may not.
    var reasons: [String: MartletError] { spent.withLock { $0 } }

    /// Looks at the ledger again.
    func refresh() async {
        await ledger.flush()
        do {
            let all = try await store.budgets(since: month)
            let reasons = all.filter(\.budget.isSpent).map { ($0.projectID, Self.reason($0.budget)) }
            spent.withLock { $0 = Dictionary(reasons, uniquingKeysWith: { first, _ in first }) }
        } catch is CancellationError {
            // The server ends.
        } catch {
            logger.error("budgets could not be read, and stand as they were: \(error)")
        }
    }

    /// A project's budget, by name or id; nil is the caller's own. Admins see every project's, others their own.
    public func show(_ project: String? = nil, by principal: Principal) async throws -> BudgetInfo {
        try principal.require(.developer, .auditor)
        let found = try await self.project(project, by: principal)
        await ledger.flush()
        if let own = try await store.budgets(since: month).first(where: { $0.projectID == found.id }) {
            return own.budget
        }
        return BudgetInfo(
            project: found.name, since: month, limit: .init(),
            used: try await store.used(since: month, projectID: found.id))
    }

    /// Sets what a project may use in a month; no limit at all takes its budget away. Admins only.
    public func set(
        _ limit: BudgetInfo.Amount, of project: String, by principal: Principal
    ) async throws -> BudgetInfo {
        try principal.require()
        if let seconds = limit.cpuSeconds, !(seconds.isFinite && seconds >= 0) {
            throw MartletError(
                .invalidRequest, "'cpu_seconds' must be a number from 0; leave it out for no limit",
                param: "cpu_seconds")
        }
        if let tokens = limit.tokens, tokens < 0 {
            throw MartletError(
                .invalidRequest, "'tokens' must be a whole number from 0; leave it out for no limit", param: "tokens")
        }
        let found = try await self.project(project, by: principal)
        let words = [limit.cpuSeconds.map { "\($0) cpu seconds" }, limit.tokens.map { "\($0) tokens" }]
        let text = words.compactMap { $0 }.joined(separator: ", ")
        try await audit.record("budget.set", on: "\(found.name): \(text.isEmpty ? "none" : text)", by: principal)
        try await store.setBudget(limit, projectID: found.id, at: clock.now())
        await refresh()
        return try await show(found.id, by: principal)
    }

    private func project(_ name: String?, by principal: Principal) async throws -> ProjectInfo {
        let wanted = name ?? principal.project
        guard let found = try await store.project(wanted), principal.role == .admin || found.id == principal.project
        else {
            throw MartletError(.notFound, "there is no project '\(wanted.prefix(60))'; see 'martlet projects list'")
        }
        return found
    }

    private var month: Date {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = .gmt
        let now = clock.now()
        return calendar.date(from: calendar.dateComponents([.year, .month], from: now)) ?? now
    }

    private static func reason(_ budget: BudgetInfo) -> MartletError {
        var parts: [String] = []
        if let limit = budget.limit.tokens, let used = budget.used.tokens, used >= limit {
            parts.append("\(used) of \(limit) tokens")
        }
        if let limit = budget.limit.cpuSeconds, let used = budget.used.cpuSeconds, used >= limit {
            parts.append("\(Int(min(used, 1e15))) of \(limit) CPU seconds")
        }
        return MartletError(
            .insufficientQuota,
            "the budget of the project '\(budget.project)' for this month is spent (\(parts.joined(separator: ", "))); "
                + "an administrator can raise it with 'martlet budget set \(budget.project)'")
    }
}
