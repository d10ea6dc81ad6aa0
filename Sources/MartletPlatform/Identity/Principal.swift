import MartletWire

/// Who asks: the key that a request came with.
public struct Principal: Sendable, Equatable {
    public let keyID: String
    /// The project's id; every look-up is confined to it.
    public let project: String
    public let projectName: String
    public let role: Role
    /// Where what this request uses is written down, in place of the ledger itself.
    var tab: UsageTab?

    public init(keyID: String, project: String, projectName: String, role: Role) {
        self.keyID = keyID
        self.project = project
        self.projectName = projectName
        self.role = role
    }

    /// The same, whose use is written on `tab`.
    func paying(on tab: UsageTab) -> Principal {
        var principal = self
        principal.tab = tab
        return principal
    }

    /// Throws `forbidden` unless the role is one of these or `admin`.
    public func require(_ roles: Role...) throws {
        guard role != .admin, !roles.contains(role) else { return }
        let needed = ([.admin] + roles).map { "'\($0.rawValue)'" }.joined(separator: " or ")
        throw MartletError(
            .forbidden, "this key's role is '\(role.rawValue)'; use a key with the role \(needed)")
    }
}
