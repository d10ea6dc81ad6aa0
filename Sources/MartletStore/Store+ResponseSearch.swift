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
            // Both words are from here, not from a request.
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            var sql = """
                SELECT * FROM responses WHERE project_id = ? AND body ->> '$.status' IN ('completed', 'incomplete')
                AND (? IS NULL OR sequence \(beyond) (SELECT sequence FROM responses WHERE id = ? AND project_id = ?))
                """
            var arguments: StatementArguments = [projectID, after, after, projectID]
            func add(_ condition: String, _ values: [(any DatabaseValueConvertible)?]) {
                sql += " AND \(condition)"
                arguments += StatementArguments(values)
            }
            func marks(_ values: [String]) -> String { values.map { _ in "?" }.joined(separator: ", ") }
            if let date = filter.createdAfter { add("created_at > ?", [date.timeIntervalSince1970]) }
            if let date = filter.createdBefore { add("created_at < ?", [date.timeIntervalSince1970]) }
            if let model = filter.model { add("body ->> '$.model' = ?", [model]) }
            if let part = filter.instructions { add("instr(body ->> '$.instructions', ?) > 0", [part]) }
            if let value = filter.temperature { add("body ->> '$.temperature' = ?", [value]) }
            if let value = filter.topP { add("body ->> '$.top_p' = ?", [value]) }
            if !filter.users.isEmpty { add("body ->> '$.user' IN (\(marks(filter.users)))", filter.users) }
            for (key, value) in filter.metadata.sorted(by: { $0.key < $1.key }) {
                add("EXISTS (SELECT 1 FROM json_each(body, '$.metadata') WHERE key = ? AND value = ?)", [key, value])
            }
            if !filter.tools.isEmpty {
                add(
                    "EXISTS (SELECT 1 FROM json_each(body, '$.tools') WHERE value ->> '$.name' IN (\(marks(filter.tools))))",
                    filter.tools)
            }
            if let wanted = filter.hasToolCalls {
                add(
                    "EXISTS (SELECT 1 FROM json_each(body, '$.output') WHERE value ->> '$.type' = 'function_call') = ?",
                    [wanted])
            }
            arguments += [limit]
            return try Row.fetchAll(db, sql: sql + " ORDER BY sequence \(order) LIMIT ?", arguments: arguments)
                .map(Self.response)
        }
    }
}
