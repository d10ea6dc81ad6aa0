import Foundation
import GRDB
import MartletWire

/// An answer that was asked to be kept.
package struct StoredResponse: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var createdAt: Date
    /// The response as the client got it.
    package var body: JSON
    /// The input items of its request.
    package var input: JSON
    /// The messages of the whole conversation, the answer's own last, for a response that goes on from it.
    package var conversation: JSON

    package init(id: String, projectID: String, createdAt: Date, body: JSON, input: JSON, conversation: JSON) {
        self.id = id
        self.projectID = projectID
        self.createdAt = createdAt
        self.body = body
        self.input = input
        self.conversation = conversation
    }
}

extension Store {
    package func insert(_ response: StoredResponse) async throws {
        try await write { db in try Self.insert(response, in: db) }
    }

    static func insert(_ response: StoredResponse, in db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO responses (id, project_id, created_at, body, input, conversation)
                VALUES (?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                response.id, response.projectID, response.createdAt.timeIntervalSince1970,
                response.body.serialized(), response.input.serialized(), response.conversation.serialized(),
            ])
    }

    /// Nil where the project has no such response.
    package func response(_ id: String, projectID: String) async throws -> StoredResponse? {
        try await first("SELECT * FROM responses WHERE id = ? AND project_id = ?", [id, projectID], Self.response)
    }

    static func response(_ row: Row) throws -> StoredResponse {
        StoredResponse(
            id: row["id"], projectID: row["project_id"], createdAt: row.date("created_at"),
            body: try Stored.json(row["body"]) ?? .null, input: try Stored.json(row["input"]) ?? .null,
            conversation: try Stored.json(row["conversation"]) ?? .null)
    }

    /// Whether there was one.
    package func deleteResponse(_ id: String, projectID: String) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: "DELETE FROM background_responses WHERE id = ? AND project_id = ?", arguments: [id, projectID])
            try db.execute(
                sql: "DELETE FROM responses WHERE id = ? AND project_id = ?", arguments: [id, projectID])
            return db.changesCount > 0
        }
    }
}
