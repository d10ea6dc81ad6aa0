import Foundation
import GRDB
import MartletWire

/// Items of an eval's runs.
extension Store {
    package func insert(_ items: [StoredEvalItem], ofRun id: String) async throws {
        try await write { db in
            let statement = try db.makeStatement(
                sql: "INSERT INTO eval_items (run_id, number, id, source) VALUES (?, ?, ?, ?)")
            for item in items {
                try statement.execute(arguments: [id, item.number, item.id, item.source.serialized()])
            }
        }
    }

    package func deleteItems(ofRun id: String) async throws {
        try await execute("DELETE FROM eval_items WHERE run_id = ?", [id])
    }

    /// Items without a result behind `number`, in order. Their sources may be large, and are left out.
    package func waitingItems(ofRun id: String, after number: Int, limit: Int) async throws -> [StoredEvalItem] {
        try await all(
            """
            SELECT id, number FROM eval_items WHERE run_id = ? AND state = 'waiting' AND number > ?
            ORDER BY number LIMIT ?
            """, [id, number, limit]
        ) { StoredEvalItem(id: $0["id"], number: $0["number"], source: .null) }
    }

    /// An item without a result, whole; nil where it has one.
    package func waitingItem(_ id: String) async throws -> StoredEvalItem? {
        try await first("SELECT * FROM eval_items WHERE id = ? AND state = 'waiting'", [id], Self.item)
    }

    /// A page of items with a result, with whether there are more: `limit` of them, or fewer where they have more than
    /// `byteLimit` bytes; at least one. `passed` picks those that did or did not.
    package func items(
        ofRun id: String, passed: Bool?, after: String?, limit: Int, byteLimit: Int, isNewestFirst: Bool
    ) async throws -> (items: [StoredEvalItem], hasMore: Bool) {
        try await read { db in
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            let sizes = try Row.fetchAll(
                db,
                sql: """
                    SELECT id, LENGTH(CAST(source AS BLOB)) + LENGTH(CAST(COALESCE(result, '') AS BLOB)) AS size
                    FROM eval_items WHERE run_id = ?1 AND state != 'waiting' AND (?2 IS NULL OR
                    (state = 'pass') = ?2) AND (?3 IS NULL OR number \(beyond)
                    (SELECT number FROM eval_items WHERE id = ?3 AND run_id = ?1)) ORDER BY number \(order) LIMIT ?4
                    """, arguments: [id, passed, after, limit + 1])
            return try Self.page(sizes, limit: limit, byteLimit: byteLimit) { size in
                try Row.fetchOne(
                    db, sql: "SELECT * FROM eval_items WHERE id = ?", arguments: [size["id"] as String]
                ).map(Self.item)
            }
        }
    }

    package func item(_ id: String, ofRun run: String) async throws -> StoredEvalItem? {
        try await first(
            "SELECT * FROM eval_items WHERE id = ? AND run_id = ? AND state != 'waiting'", [id, run], Self.item)
    }

    /// Keeps what came of an item and what it used, in one transaction; false where it has a result already.
    package func finish(
        item id: String, state: StoredEvalItem.State, result: JSON, usage: [UsageRow], at date: Date
    ) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE eval_items SET state = ?, result = ?, created_at = ? WHERE id = ? AND state = 'waiting'
                    """, arguments: [state.rawValue, result.serialized(), date.timeIntervalSince1970, id])
            guard db.changesCount > 0 else { return false }
            try Self.add(usage, in: db)
            return true
        }
    }

    /// How many items are in each state.
    package func itemCounts(ofRun id: String) async throws -> [StoredEvalItem.State: Int] {
        let counts = try await all(
            "SELECT state, COUNT(*) AS items FROM eval_items WHERE run_id = ? GROUP BY state", [id]
        ) { (StoredEvalItem.State(rawValue: $0["state"]) ?? .error, $0["items"] as Int) }
        return Dictionary(counts, uniquingKeysWith: +)
    }

    /// Passes and failures by criterion: `[name: (passed, failed)]`.
    package func criteriaCounts(ofRun id: String) async throws -> [String: (passed: Int, failed: Int)] {
        let counts = try await all(
            """
            SELECT json_extract(r.value, '$.name') AS name, SUM(json_extract(r.value, '$.passed')) AS passed,
            COUNT(*) AS results FROM eval_items i, json_each(i.result, '$.results') r
            WHERE i.run_id = ? AND i.state != 'waiting' GROUP BY 1
            """, [id]
        ) { row in
            let (passed, results) = (row["passed"] as Int, row["results"] as Int)
            return (row["name"] as String, (passed: passed, failed: results - passed))
        }
        return Dictionary(counts, uniquingKeysWith: { first, _ in first })
    }

    /// Tokens by model: `[model: (requests, input, cached, output)]`.
    package func modelUsage(
        ofRun id: String
    ) async throws -> [(model: String, requests: Int, input: Int, cached: Int, output: Int)] {
        try await all(
            """
            SELECT json_extract(u.value, '$.model') AS model, COUNT(*) AS requests,
            SUM(json_extract(u.value, '$.input')) AS input, SUM(json_extract(u.value, '$.cached')) AS cached,
            SUM(json_extract(u.value, '$.output')) AS output
            FROM eval_items i, json_each(i.result, '$.usage') u WHERE i.run_id = ? AND i.state != 'waiting'
            GROUP BY 1 ORDER BY 1
            """, [id]
        ) { ($0["model"], $0["requests"], $0["input"], $0["cached"], $0["output"]) }
    }

    private static func item(_ row: Row) throws -> StoredEvalItem {
        var item = StoredEvalItem(
            id: row["id"], number: row["number"], source: try Stored.json(row["source"]) ?? .null)
        item.state = StoredEvalItem.State(rawValue: row["state"]) ?? .error
        item.result = try Stored.json(row["result"])
        item.createdAt = row.optionalDate("created_at")
        return item
    }
}
