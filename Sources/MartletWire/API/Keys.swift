import Foundation

/// Who may do what, from most to least.
public enum Role: String, Codable, Sendable, CaseIterable {
    /// Everything, keys, projects and deletion included.
    case admin
    /// Data, jobs, models, deployments and inference of the key's project.
    case developer
    /// Inference only.
    case inference
    /// Reads usage and audit only.
    case auditor
}

public struct ProjectInfo: Codable, Sendable, Equatable {
    public var id: String
    public var name: String
    public var createdAt: Date
    public init(id: String, name: String, createdAt: Date) {
        self.id = id
        self.name = name
        self.createdAt = createdAt
    }
    enum CodingKeys: String, CodingKey { case id, name, createdAt = "created_at" }
}

public struct KeyInfo: Codable, Sendable, Equatable {
    public var id: String
    public var name: String
    public var project: String
    public var role: Role
    /// The first characters, to tell keys apart.
    public var prefix: String
    public var createdAt: Date
    public var expiresAt: Date?
    public var revokedAt: Date?
    /// The key itself: in the answer to its creation, and never again.
    public var secret: String?
    public init(
        id: String, name: String, project: String, role: Role, prefix: String, createdAt: Date, expiresAt: Date? = nil,
        revokedAt: Date? = nil, secret: String? = nil
    ) {
        self.id = id
        self.name = name
        self.project = project
        self.role = role
        self.prefix = prefix
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.revokedAt = revokedAt
        self.secret = secret
    }
    enum CodingKeys: String, CodingKey {
        case id, name, project, role, prefix, createdAt = "created_at", expiresAt = "expires_at"
        case revokedAt = "revoked_at", secret
    }
}
