import Foundation

/// What an uploaded file is for, in OpenAI's words.
public enum FilePurpose: String, Codable, Sendable, CaseIterable {
    case fineTune = "fine-tune", batch, evals, userData = "user_data", assistants, vision
    /// What the server itself writes.
    case fineTuneResults = "fine-tune-results", batchOutput = "batch_output"

    /// Whether a client may upload it.
    public var isUploaded: Bool { self != .fineTuneResults && self != .batchOutput }
    /// Whether its lines are data that training, batches or evals read; it is a dataset too then.
    public var isData: Bool { self == .fineTune || self == .batch || self == .evals }
}

/// An uploaded file, or one that a job left.
public struct FileInfo: Codable, Sendable, Equatable {
    /// `file-…`.
    public var id: String
    public var filename: String
    public var purpose: FilePurpose
    public var byteCount: Int
    public var createdAt: Date
    public var expiresAt: Date?
    /// SHA-256 of the list of its one file.
    public var contentHash: String
    /// `name@version` of the dataset that it is too.
    public var dataset: String?
    /// The job that left it.
    public var jobID: String?
    public init(
        id: String, filename: String, purpose: FilePurpose, byteCount: Int, createdAt: Date, expiresAt: Date? = nil,
        contentHash: String, dataset: String? = nil, jobID: String? = nil
    ) {
        self.id = id
        self.filename = filename
        self.purpose = purpose
        self.byteCount = byteCount
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.contentHash = contentHash
        self.dataset = dataset
        self.jobID = jobID
    }
    enum CodingKeys: String, CodingKey {
        case id, filename, purpose, byteCount = "bytes", createdAt = "created_at", expiresAt = "expires_at"
        case contentHash = "content_hash", dataset, jobID = "job"
    }
}

/// A file that comes in parts.
public struct UploadInfo: Codable, Sendable, Equatable {
    public enum Status: String, Codable, Sendable { case pending, completed, cancelled, expired }
    /// `upload_…`.
    public var id: String
    public var filename: String
    public var purpose: FilePurpose
    public var mimeType: String
    /// What all parts together must have.
    public var byteCount: Int
    public var createdAt: Date
    public var expiresAt: Date
    public var status: Status
    /// Seconds from its making after which the file itself goes.
    public var fileSeconds: Int?
    /// Once it is completed.
    public var fileID: String?
    public init(
        id: String, filename: String, purpose: FilePurpose, mimeType: String, byteCount: Int, createdAt: Date,
        expiresAt: Date, status: Status = .pending, fileSeconds: Int? = nil, fileID: String? = nil
    ) {
        self.id = id
        self.filename = filename
        self.purpose = purpose
        self.mimeType = mimeType
        self.byteCount = byteCount
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.status = status
        self.fileSeconds = fileSeconds
        self.fileID = fileID
    }
}

/// One part of an upload.
public struct UploadPartInfo: Codable, Sendable, Equatable {
    /// `part_…`.
    public var id: String
    public var uploadID: String
    public var hash: String
    public var byteCount: Int
    public var createdAt: Date
    public init(id: String, uploadID: String, hash: String, byteCount: Int, createdAt: Date) {
        self.id = id
        self.uploadID = uploadID
        self.hash = hash
        self.byteCount = byteCount
        self.createdAt = createdAt
    }
}
