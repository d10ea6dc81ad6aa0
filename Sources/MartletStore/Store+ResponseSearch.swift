import Foundation
import GRDB
import MartletWire

/// Which kept responses are wanted; what is nil or empty leaves all.
package struct ResponseFilter: Sendable, Equatable {
    package var model: String?
    package var metadata: [String: String] = [:]
    package var createdAfter: Date?
    package var createdBefore: Date?
    /// A part of the instructions.
    package var instructions: String?
    package var hasToolCalls: Bool?
    package var temperature: Double?
    package var topP: Double?
    /// One of these names in the request's tools; one of these as its `user`.
    package var tools: [String] = []
    package var users: [String] = []
    package init() {}
}

extension Store {
    /// Kept responses that are whole, in the order of their making or against it, those behind `after`.
    package func responses(
        projectID: String, filter: ResponseFilter, after: String?, limit: Int, isNewestFirst: Bool
    ) async throws -> [StoredResponse] {
        try await read { db in
            var query = KeptAnswerQuery("responses", projectID: projectID, after: after, isNewestFirst: isNewestFirst)
            query.add("body ->> '$.status' IN ('completed', 'incomplete')")
            query.add(createdAfter: filter.createdAfter, createdBefore: filter.createdBefore)
            func marks(_ values: [String]) -> String { values.map { _ in "?" }.joined(separator: ", ") }
            if let model = filter.model { query.add("body ->> '$.model' = ?", [model]) }
            if let part = filter.instructions { query.add("instr(body ->> '$.instructions', ?) > 0", [part]) }
            if let value = filter.temperature { query.add("body ->> '$.temperature' = ?", [value]) }
            if let value = filter.topP { query.add("body ->> '$.top_p' = ?", [value]) }
            if !filter.users.isEmpty { query.add("body ->> '$.user' IN (\(marks(filter.users)))", filter.users) }
            query.add(metadata: filter.metadata, in: "body, '$.metadata'")
            if !filter.tools.isEmpty {
                query.add(
                    "EXISTS (SELECT 1 FROM json_each(body, '$.tools') WHERE value ->> '$.name' IN (\(marks(filter.tools))))",
                    filter.tools)
            }
            if let wanted = filter.hasToolCalls {
                query.add(
                    "EXISTS (SELECT 1 FROM json_each(body, '$.output') WHERE value ->> '$.type' = 'function_call') = ?",
                    [wanted])
            }
            return try query.rows(db, limit: limit).map(Self.response)
        }
    }
}
