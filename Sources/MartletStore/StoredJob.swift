import Foundation
import GRDB
import MartletWire

/// A job with what only the platform needs to know.
package struct StoredJob: Sendable {
    package var info: JobInfo
    package var projectID: String
    package var keyID: String
    package var request: JobRequest
    /// The worker that was started last: what its token hashes to, its process id and that process's start time.
    package var tokenHash: String?
    package var pid: Int32?
    package var processStart: Int64?

    package init(info: JobInfo, projectID: String, keyID: String, request: JobRequest) {
        self.info = info
        self.projectID = projectID
        self.keyID = keyID
        self.request = request
    }

    init(_ row: Row) throws {
        var request = try Stored.value(JobRequest.self, row["request"])
        if let text = request.recipe?.string { request.recipe = try Stored.json(text) }
        var info = JobInfo(
            id: row["id"], kind: JobKind(rawValue: row["kind"]) ?? .train, name: row["name"],
            state: JobState(rawValue: row["state"]) ?? .failed, createdAt: row.date("created_at"),
            attempts: row["attempts"])
        info.startedAt = row.optionalDate("started_at")
        info.finishedAt = row.optionalDate("finished_at")
        info.error = try (row["error"] as String?).map { try Stored.value(MartletError.self, $0) }
        info.model = row["model"]
        info.deployment = row["deployment"]
        info.recipe = request.recipe
        info.result = try Stored.json(row["result"])
        self.init(info: info, projectID: row["project_id"], keyID: row["key_id"], request: request)
        tokenHash = row["token_hash"]
        pid = row["pid"]
        processStart = row["process_start"]
    }
}

extension JobRequest {
    /// As it is stored, with the recipe's keys in their order.
    var stored: JobRequest {
        var stored = self
        if let recipe, recipe.object != nil { stored.recipe = .string(recipe.serialized()) }
        return stored
    }
}

/// A dataset, a model, or uploaded files that a job reads.
package struct JobInput: Sendable, Equatable {
    /// The kind of files that were uploaded for this job alone.
    package static let upload = "upload"
    /// `dataset`, `model` or `upload`.
    package var kind: String
    /// As the request names it.
    package var reference: String
    package var name: String
    package var version: Int
    package var treeHash: String

    package init(kind: String, reference: String, name: String, version: Int, treeHash: String) {
        self.kind = kind
        self.reference = reference
        self.name = name
        self.version = version
        self.treeHash = treeHash
    }

    package var resolved: String { "\(name)@\(version)" }
}
