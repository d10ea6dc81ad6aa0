import Foundation
import MartletStore
import MartletWire

/// Projects: the tenant boundary that everything else belongs to.
public final class ProjectService: Sendable {
    private let store: Store
    private let audit: AuditLog
    private let clock: PlatformClock

    init(store: Store, audit: AuditLog, clock: PlatformClock) {
        self.store = store
        self.audit = audit
        self.clock = clock
    }

    /// Throws `conflict` where the name is taken. Admins only.
    public func create(name: String, by principal: Principal) async throws -> ProjectInfo {
        try principal.require()
        let name = try Name.check(name, what: "project")
        let project = ProjectInfo(
            id: "proj_\(try [UInt8].random(count: 8).hex)", name: name, createdAt: clock.now())
        try await audit.record("project.create", on: name, by: principal)
        try await store.insert(project)
        return project
    }

    /// All of them for an admin, the key's own for others.
    public func list(by principal: Principal) async throws -> [ProjectInfo] {
        try await store.projects().filter { principal.role == .admin || $0.id == principal.project }
    }
}
