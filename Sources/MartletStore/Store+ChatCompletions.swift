import Foundation
import GRDB
import MartletWire

/// A chat completion that was asked to be kept.
package struct StoredChatCompletion: Sendable, Equatable {
    package var id: String
    package var projectID: String
    package var createdAt: Date
    package var model: String
    /// An object of texts.
    package var metadata: JSON
    /// The completion as the client got it.
    package var body: JSON
    /// The messages of its request.
    package var messages: JSON

    package init(
        id: String, projectID: String, createdAt: Date, model: String, metadata: JSON, body: JSON, messages: JSON
    ) {
        self.id = id
        self.projectID = projectID
        self.createdAt = createdAt
        self.model = model
        self.metadata = metadata
        self.body = body
        self.messages = messages
    }
}

/// Which kept completions are wanted.
package struct ChatCompletionFilter: Sendable, Equatable {
    package var model: String?
    package var metadata: [String: String] = [:]
    package var createdAfter: Date?
    package var createdBefore: Date?
    package init(
        model: String? = nil, metadata: [String: String] = [:], createdAfter: Date? = nil, createdBefore: Date? = nil
    ) {
        self.model = model
        self.metadata = metadata
        self.createdAfter = createdAfter
        self.createdBefore = createdBefore
    }
}

extension Store {
    package func insert(_ completion: StoredChatCompletion) async throws {
        try await execute(
            """
            INSERT INTO chat_completions (id, project_id, created_at, model, metadata, body, messages)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                completion.id, completion.projectID, completion.createdAt.timeIntervalSince1970, completion.model,
                completion.metadata.serialized(), completion.body.serialized(), completion.messages.serialized(),
            ])
    }

    package func chatCompletion(_ id: String, projectID: String) async throws -> StoredChatCompletion? {
        try await first(
            "SELECT * FROM chat_completions WHERE id = ? AND project_id = ?", [id, projectID], Self.completion)
    }

    /// In the order of their making or against it, those behind `after`.
    package func chatCompletions(
        projectID: String, filter: ChatCompletionFilter, after: String?, limit: Int, isNewestFirst: Bool
    ) async throws -> [StoredChatCompletion] {
        try await read { db in
            var query = KeptAnswerQuery(
                "chat_completions", projectID: projectID, after: after, isNewestFirst: isNewestFirst)
            if let model = filter.model { query.add("model = ?", [model]) }
            query.add(createdAfter: filter.createdAfter, createdBefore: filter.createdBefore)
            query.add(metadata: filter.metadata, in: "metadata")
            return try query.rows(db, limit: limit).map(Self.completion)
        }
    }

    /// Whether there was one.
    package func setMetadata(_ metadata: JSON, ofChatCompletion id: String, projectID: String) async throws -> Bool {
        try await execute(
            "UPDATE chat_completions SET metadata = ? WHERE id = ? AND project_id = ?",
            [metadata.serialized(), id, projectID])
    }

    /// Whether there was one.
    package func deleteChatCompletion(_ id: String, projectID: String) async throws -> Bool {
        try await execute("DELETE FROM chat_completions WHERE id = ? AND project_id = ?", [id, projectID])
    }

    private static func completion(_ row: Row) throws -> StoredChatCompletion {
        StoredChatCompletion(
            id: row["id"], projectID: row["project_id"], createdAt: row.date("created_at"), model: row["model"],
            metadata: try Stored.json(row["metadata"]) ?? [:], body: try Stored.json(row["body"]) ?? .null,
            messages: try Stored.json(row["messages"]) ?? .null)
    }
}
