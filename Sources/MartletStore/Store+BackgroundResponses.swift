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
    /// How often a `serve` took it up from an earlier one.
    package var restarts = 0

    package init(id: String, projectID: String, keyID: String, createdAt: Date, request: JSON) {
        self.id = id
        self.projectID = projectID
        self.keyID = keyID
        self.createdAt = createdAt
        self.request = request
    }
}

/// The events of a streamed response that is over.
package enum ResponseEvents: Sendable, Equatable {
    /// JSON documents without line breaks, in order.
    case kept([String])
    /// More than are kept.
    case tooMany
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

    /// Takes up what an earlier `serve` left: of every project, oldest first, each with its response as it is shown.
    package func takeUpBackgroundResponses() async throws -> [(work: StoredBackgroundResponse, body: JSON)] {
        try await write { db in
            try db.execute(sql: "UPDATE background_responses SET restarts = restarts + 1")
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT b.*, r.body FROM background_responses b JOIN responses r ON r.id = b.id ORDER BY b.sequence
                    """
            ).map { row in
                var work = StoredBackgroundResponse(
                    id: row["id"], projectID: row["project_id"], keyID: row["key_id"],
                    createdAt: row.date("created_at"), request: try Stored.json(row["request"]) ?? .null)
                work.restarts = row["restarts"]
                return (work, try Stored.json(row["body"]) ?? .null)
            }
        }
    }

    /// Changes a response that is not over; nil where it is. With `ends` it is over then, and what it used is written
    /// down in the same transaction, with its `events` where it was streamed.
    package func change(
        background id: String, ends: Bool, conversation: JSON? = nil, usage: [UsageRow] = [],
        events: (@Sendable (JSON) -> ResponseEvents)? = nil,
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
            if let events {
                var text: String?
                if case .kept(let kept) = events(changed) { text = kept.joined(separator: "\n") }
                try db.execute(
                    sql: "INSERT INTO response_events (response_id, events) VALUES (?, ?)", arguments: [id, text])
            }
            try Self.add(usage, in: db)
            return changed
        }
    }

    /// Nil for a response that was not streamed from the background, or is not over.
    package func events(ofResponse id: String, projectID: String) async throws -> ResponseEvents? {
        try await first(
            """
            SELECT e.events FROM response_events e JOIN responses r ON r.id = e.response_id
            WHERE e.response_id = ? AND r.project_id = ?
            """, [id, projectID]
        ) { row in
            guard let text = row["events"] as String? else { return .tooMany }
            return .kept(text.utf8.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) })
        }
    }
}
