import Foundation
import Logging
import MartletStore
import MartletWire

/// Who did what, as rows that each hold the hash of the one before: a changed or missing row shows.
public final class AuditLog: Sendable {
    private let store: Store
    private let clock: PlatformClock

    init(store: Store, clock: PlatformClock) {
        self.store = store
        self.clock = clock
    }

    /// Writes a row before a privileged action. Throws, and so stops the action, where it cannot be written.
    public func record(
        _ action: String, on resource: String, by principal: Principal, outcome: String = "allowed"
    ) async throws {
        do {
            try await store.appendAudit(
                time: clock.now(), project: principal.project, key: principal.keyID, action: action,
                resource: String(resource.prefix(300)), outcome: outcome)
        } catch let error as MartletError {
            throw MartletError(
                error.code == .storageFull ? .storageFull : .unavailable,
                "'\(action)' was refused because the audit log cannot be written; free some disk space and try again")
        }
    }

    /// Writes down that someone asked for what another project has; for them it is as unknown as what nobody has.
    func noteForeign(_ thing: OwnedThing, _ reference: String, by principal: Principal) async {
        guard reference.utf8.count <= 300,
            (try? await store.belongsElsewhere(thing, reference, projectID: principal.project)) == true
        else { return }
        try? await record("\(thing.rawValue).access", on: reference, by: principal, outcome: "denied")
    }

    /// The newest rows of the caller's project (of all, for an admin) before `before`, newest first.
    public func list(before: Int? = nil, limit: Int = 100, by principal: Principal) async throws -> Page<AuditRow> {
        try principal.require(.auditor)
        let limit = max(1, min(limit, 1000))
        let project = principal.role == .admin ? nil : principal.project
        return Page(try await store.audit(project: project, before: before, limit: limit + 1), limit: limit)
    }

    /// Walks the whole chain.
    public func verify(by principal: Principal) async throws -> AuditVerification {
        try principal.require(.auditor)
        return try await store.verifyAudit()
    }
}
