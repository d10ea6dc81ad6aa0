import Foundation
import GRDB
import MartletWire

/// A response that was asked for in the background and is not over.
package struct StoredBackgroundResponse: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var keyID: String
    package var createdAt: Date
    /// The body of the request that asked for it.
    package var request: JSON

    package init(id: String, projectID: String, keyID: String, createdAt: Date, request: JSON) {
        self.id = id
        self.projectID = projectID
        self.keyID = keyID
        self.createdAt = createdAt
        self.request = request
    }
}

extension Store {
    /// The response as it can be asked for from now on, and what there is to do for it, in one transaction.
    package func insert(_ background: StoredBackgroundResponse, response: StoredResponse) async throws {
        try await write { db in
            try Self.insert(response, in: db)
            try db.execute(
                sql: """
                    INSERT INTO background_responses (id, project_id, key_id, created_at, request) VALUES (?, ?, ?, ?, ?)
                    """,
                arguments: [
                    background.id, background.projectID, background.keyID,
                    background.createdAt.timeIntervalSince1970, background.request.serialized(),
                ])
        }
    }

    /// Of every project, oldest first.
    package func unfinishedBackgroundResponses() async throws -> [StoredBackgroundResponse] {
        try await read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM background_responses ORDER BY sequence").map { row in
                StoredBackgroundResponse(
                    id: row["id"], projectID: row["project_id"], keyID: row["key_id"],
                    createdAt: row.date("created_at"), request: try Stored.json(row["request"]) ?? .null)
            }
        }
    }

    /// Changes a response that is not over; nil where it is. With `ends` it is over then, and what it used is written
    /// down in the same transaction.
    package func change(
        background id: String, ends: Bool, conversation: JSON? = nil, usage: [UsageRow] = [],
        _ change: @escaping @Sendable (JSONObject) -> JSONObject
    ) async throws -> JSON? {
        try await write { db in
            let text = try String.fetchOne(
                db,
                sql: """
                    SELECT r.body FROM responses r JOIN background_responses b ON b.id = r.id WHERE r.id = ?
                    """, arguments: [id])
            guard let body = try Stored.json(text)?.object else { return nil }
            let changed = JSON.object(change(body))
            try db.execute(
                sql: "UPDATE responses SET body = ?2, conversation = COALESCE(?3, conversation) WHERE id = ?1",
                arguments: [id, changed.serialized(), conversation?.serialized()])
            guard ends else { return changed }
            try db.execute(sql: "DELETE FROM background_responses WHERE id = ?", arguments: [id])
            try Self.add(usage, in: db)
            return changed
        }
    }
}
