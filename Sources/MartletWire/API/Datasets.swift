import Foundation

/// A file of a dataset or bundle: where it stands in the folder and what it holds.
public struct TreeFile: Codable, Sendable, Equatable, Hashable {
    /// Relative, with `/`, without `..`.
    public var path: String
    public var hash: String
    public var byteCount: Int
    public init(path: String, hash: String, byteCount: Int) {
        self.path = path
        self.hash = hash
        self.byteCount = byteCount
    }
    enum CodingKeys: String, CodingKey { case path, hash, byteCount = "bytes" }
}

public struct DatasetInfo: Codable, Sendable, Equatable {
    public var name: String
    public var version: Int
    /// SHA-256 of the sorted list of files.
    public var contentHash: String
    public var files: [TreeFile]
    public var byteCount: Int
    public var createdAt: Date
    /// The job that reads and describes it, and its result once there.
    public var profileJob: String?
    public var profile: JSON?
    public init(
        name: String, version: Int, contentHash: String, files: [TreeFile], byteCount: Int, createdAt: Date,
        profileJob: String? = nil, profile: JSON? = nil
    ) {
        self.name = name
        self.version = version
        self.contentHash = contentHash
        self.files = files
        self.byteCount = byteCount
        self.createdAt = createdAt
        self.profileJob = profileJob
        self.profile = profile
    }
    enum CodingKeys: String, CodingKey {
        case name, version, contentHash = "content_hash", files, byteCount = "bytes", createdAt = "created_at"
        case profileJob = "profile_job", profile
    }
}
