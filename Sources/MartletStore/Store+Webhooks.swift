import Foundation
import GRDB
import MartletWire

/// Something that ended and that nobody was told of yet.
package struct WebhookEvent: Sendable, Equatable {
    package var id: Int
    package var projectID: String
    /// `batch.completed` and the like.
    package var type: String
    package var objectID: String
    package var createdAt: Date
}

/// A message on its way to one endpoint.
package struct WebhookDelivery: Sendable, Equatable {
    /// The same for every endpoint and every attempt.
    package var id: String
    package var url: String
    package var body: String
    package var createdAt: Date
    package var attempts: Int
    package var nextAt: Date
    package init(id: String, url: String, body: String, createdAt: Date, attempts: Int = 0, nextAt: Date) {
        self.id = id
        self.url = url
        self.body = body
        self.createdAt = createdAt
        self.attempts = attempts
        self.nextAt = nextAt
    }
}

extension Store {
    package func webhookEvents(limit: Int) async throws -> [WebhookEvent] {
        try await all("SELECT * FROM webhook_events ORDER BY id LIMIT ?", [limit]) {
            WebhookEvent(
                id: $0["id"], projectID: $0["project_id"], type: $0["type"], objectID: $0["object_id"],
                createdAt: $0.date("created_at"))
        }
    }

    /// Turns an event into what has to be sent, in one transaction.
    package func dispatch(_ event: WebhookEvent, as deliveries: [WebhookDelivery]) async throws {
        try await write { db in
            try db.execute(sql: "DELETE FROM webhook_events WHERE id = ?", arguments: [event.id])
            guard db.changesCount > 0 else { return }
            for delivery in deliveries {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO webhook_deliveries VALUES (?, ?, ?, ?, ?, ?)",
                    arguments: [
                        delivery.id, delivery.url, delivery.body, delivery.createdAt.timeIntervalSince1970,
                        delivery.attempts, delivery.nextAt.timeIntervalSince1970,
                    ])
            }
        }
    }

    /// Those whose time has come, the longest waiting first.
    package func webhookDeliveries(dueAt date: Date, limit: Int) async throws -> [WebhookDelivery] {
        try await all(
            "SELECT * FROM webhook_deliveries WHERE next_at <= ? ORDER BY next_at LIMIT ?",
            [date.timeIntervalSince1970, limit]
        ) {
            WebhookDelivery(
                id: $0["id"], url: $0["url"], body: $0["body"], createdAt: $0.date("created_at"),
                attempts: $0["attempts"], nextAt: $0.date("next_at"))
        }
    }

    /// The next attempt, or with nil the end of it.
    package func reschedule(_ delivery: WebhookDelivery, at date: Date?) async throws {
        try await write { db in
            if let date {
                try db.execute(
                    sql: "UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = ? WHERE id = ? AND url = ?",
                    arguments: [date.timeIntervalSince1970, delivery.id, delivery.url])
            } else {
                try db.execute(
                    sql: "DELETE FROM webhook_deliveries WHERE id = ? AND url = ?",
                    arguments: [delivery.id, delivery.url])
            }
        }
    }
}
