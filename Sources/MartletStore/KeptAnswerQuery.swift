import Foundation
import GRDB
import MartletWire

/// A page of kept answers of one project, in the order of their making or against it.
struct KeptAnswerQuery {
    private var sql: String
    private var arguments: StatementArguments
    private let order: String

    /// Those behind `after` in `table`, which is a name from here and not from a request.
    init(_ table: String, projectID: String, after: String?, isNewestFirst: Bool) {
        order = isNewestFirst ? "DESC" : "ASC"
        sql = """
            SELECT * FROM \(table) WHERE project_id = ? AND (? IS NULL OR sequence \(isNewestFirst ? "<" : ">")
            (SELECT sequence FROM \(table) WHERE id = ? AND project_id = ?))
            """
        arguments = [projectID, after, after, projectID]
    }

    /// `condition` has a question mark for each of `values`.
    mutating func add(_ condition: String, _ values: [(any DatabaseValueConvertible)?] = []) {
        sql += " AND \(condition)"
        arguments += StatementArguments(values)
    }

    mutating func add(createdAfter: Date?, createdBefore: Date?) {
        if let createdAfter { add("created_at > ?", [createdAfter.timeIntervalSince1970]) }
        if let createdBefore { add("created_at < ?", [createdBefore.timeIntervalSince1970]) }
    }

    /// `place` is the object of texts, as the arguments of `json_each`.
    mutating func add(metadata: [String: String], in place: String) {
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            add("EXISTS (SELECT 1 FROM json_each(\(place)) WHERE key = ? AND value = ?)", [key, value])
        }
    }

    func rows(_ db: Database, limit: Int) throws -> [Row] {
        try Row.fetchAll(
            db, sql: sql + " ORDER BY sequence \(order) LIMIT ?", arguments: arguments + [limit])
    }
}
