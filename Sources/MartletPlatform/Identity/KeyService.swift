import Foundation
import MartletStore
import MartletWire
import Synchronization

/// Why a key counts no more.
struct KeyLoss: Sendable {
    var prefix: String
    var isRevoked: Bool

    var reason: String { "the key \(prefix)… that made it \(isRevoked ? "was revoked" : "has expired")" }
    /// For the audit log.
    var outcome: String { isRevoked ? "key revoked" : "key expired" }
}

/// API keys: made, shown once, checked, revoked. Only a prefix and a SHA-256 are stored.
public final class KeyService: Sendable {
    private let store: Store
    private let audit: AuditLog
    private let clock: PlatformClock
    private struct Known {
        var principal: Principal
        var expiresAt: Date?

        func isCurrent(_ now: Date) -> Bool { expiresAt.map { $0 > now } ?? true }
    }
    /// By the key's hash. A revocation takes its key out; 4,096 at most.
    private let known = Mutex<[String: Known]>([:])
    static let cacheLimit = 4096

    init(store: Store, audit: AuditLog, clock: PlatformClock) {
        self.store = store
        self.audit = audit
        self.clock = clock
    }

    /// Who holds this key (without `Bearer `). Throws `unauthenticated` with one text for whatever is wrong, so that
    /// nothing can be learned by trying; it never repeats the key.
    public func authenticate(_ key: String) async throws -> Principal {
        let refusal = MartletError(
            .unauthenticated, "the API key is not valid; send 'Authorization: Bearer KEY' with a key that is current")
        guard let key = APIKey(key) else { throw refusal }
        let hash = key.hash
        let now = clock.now()
        if let found = known.withLock({ $0[hash] }) {
            guard found.isCurrent(now) else { throw refusal }
            return found.principal
        }
        guard let stored = try await store.key(id: key.id), isEqualInConstantTime(stored.hash, hash),
            stored.info.revokedAt == nil, stored.info.expiresAt.map({ $0 > now }) ?? true
        else { throw refusal }
        let principal = Principal(
            keyID: stored.info.id, project: stored.projectID, projectName: stored.info.project, role: stored.info.role)
        known.withLock { known in
            if known.count >= Self.cacheLimit { known.removeAll() }
            known[hash] = Known(principal: principal, expiresAt: stored.info.expiresAt)
        }
        // A revocation between the look-up and the line above must not be undone by it.
        if try await store.key(id: key.id)?.info.revokedAt != nil {
            known.withLock { _ = $0.removeValue(forKey: hash) }
            throw refusal
        }
        return principal
    }

    /// Who holds this key, where it was looked up before and is good; nil says nothing.
    public func remembered(_ key: String) -> Principal? {
        guard let hash = APIKey(key)?.hash, let found = known.withLock({ $0[hash] }), found.isCurrent(clock.now())
        else { return nil }
        return found.principal
    }

    /// What became of a key that work in the background was begun with; nil while it is good, and where that cannot be
    /// read.
    func loss(of id: String) async -> KeyLoss? {
        guard let stored = try? await store.key(id: id) else { return nil }
        if stored.info.revokedAt != nil { return KeyLoss(prefix: stored.info.prefix, isRevoked: true) }
        guard let end = stored.info.expiresAt, end <= clock.now() else { return nil }
        return KeyLoss(prefix: stored.info.prefix, isRevoked: false)
    }

    /// A new key, with its `secret` this once. `project` is a name or id; nil is the caller's own. Admins only.
    public func create(
        name: String, role: Role, project: String? = nil, expiresAt: Date? = nil, by principal: Principal
    ) async throws -> KeyInfo {
        try principal.require()
        let name = try Name.check(name, what: "key")
        guard let project = try await store.project(project ?? principal.project) else {
            throw MartletError(.notFound, "there is no project '\(project ?? "")'; see 'martlet projects list'")
        }
        if let expiresAt, expiresAt <= clock.now() {
            throw MartletError(.invalidRequest, "expires_at lies in the past; give a later time", param: "expires_at")
        }
        try await audit.record("key.create", on: "\(project.name)/\(name) as \(role.rawValue)", by: principal)
        return try await insert(name: name, role: role, project: project, expiresAt: expiresAt)
    }

    func insert(name: String, role: Role, project: ProjectInfo, expiresAt: Date?) async throws -> KeyInfo {
        let key = try APIKey.random()
        var info = KeyInfo(
            id: key.id, name: name, project: project.name, role: role, prefix: key.prefix, createdAt: clock.now(),
            expiresAt: expiresAt)
        try await store.insert(info, projectID: project.id, hash: key.hash)
        info.secret = key.text
        return info
    }

    /// Every project's keys. Admins only.
    public func list(by principal: Principal) async throws -> [KeyInfo] {
        try principal.require()
        return try await store.keys(projectID: nil).map(\.info)
    }

    /// The key stops working before this returns. By id or prefix. Admins only.
    public func revoke(_ id: String, by principal: Principal) async throws -> KeyInfo {
        try principal.require()
        let id = id.hasPrefix("mk_") ? String(id.dropFirst(3).prefix(8)) : id
        guard let stored = try await store.key(id: id) else {
            throw MartletError(.notFound, "there is no key '\(id.prefix(20))'; see 'martlet keys list'")
        }
        try await audit.record("key.revoke", on: stored.info.prefix, by: principal)
        try await store.revokeKey(id: id, at: clock.now())
        known.withLock { _ = $0.removeValue(forKey: stored.hash) }
        return try await store.key(id: id)?.info ?? stored.info
    }
}
