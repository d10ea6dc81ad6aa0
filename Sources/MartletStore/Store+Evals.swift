import Foundation
import GRDB
import MartletWire

extension Store {
    package func insert(_ eval: StoredEval) async throws {
        try await write { db in
            try db.execute(
                sql: "INSERT INTO evals (id, project_id, created_at, updated_at, info) VALUES (?, ?, ?, ?, ?)",
                arguments: [
                    eval.id, eval.projectID, eval.createdAt.timeIntervalSince1970,
                    eval.updatedAt.timeIntervalSince1970, try Stored.text(eval.info),
                ])
        }
    }

    /// By id, or by the newest of that name.
    package func eval(_ name: String, projectID: String) async throws -> StoredEval? {
        try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT * FROM evals WHERE project_id = ?2 AND (id = ?1 OR json_extract(info, '$.name') = ?1)
                    ORDER BY id = ?1 DESC, sequence DESC LIMIT 1
                    """, arguments: [name, projectID]
            ).map(Self.eval)
        }
    }

    package func evals(
        projectID: String, after: String?, limit: Int, isNewestFirst: Bool, byUpdate: Bool
    ) async throws -> [StoredEval] {
        try await read { db in
            // All words are from here, not from a request.
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            let column = byUpdate ? "updated_at" : "created_at"
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM evals WHERE project_id = ?1 AND (?2 IS NULL OR (\(column), sequence) \(beyond)
                    (SELECT \(column), sequence FROM evals WHERE id = ?2 AND project_id = ?1))
                    ORDER BY \(column) \(order), sequence \(order) LIMIT ?3
                    """, arguments: [projectID, after, limit]
            ).map(Self.eval)
        }
    }

    package func update(_ eval: StoredEval) async throws {
        try await write { db in
            try db.execute(
                sql: "UPDATE evals SET info = ?, updated_at = ? WHERE id = ?",
                arguments: [try Stored.text(eval.info), eval.updatedAt.timeIntervalSince1970, eval.id])
        }
    }

    /// With all its runs; whether there was one.
    package func deleteEval(_ id: String, projectID: String) async throws -> Bool {
        try await write { db in
            try db.execute(sql: "DELETE FROM evals WHERE id = ? AND project_id = ?", arguments: [id, projectID])
            return db.changesCount > 0
        }
    }

    // MARK: Runs

    static func insert(_ run: StoredEvalRun, in db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO eval_runs (id, eval_id, project_id, key_id, state, created_at, info)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                run.id, run.evalID, run.projectID, run.keyID, run.state.rawValue,
                run.createdAt.timeIntervalSince1970, try Stored.text(run.info),
            ])
    }

    package func evalRun(_ id: String, projectID: String?) async throws -> StoredEvalRun? {
        try await read { db in
            try Row.fetchOne(
                db, sql: "SELECT * FROM eval_runs WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)",
                arguments: [id, projectID]
            ).map(Self.evalRun)
        }
    }

    package func evalRuns(
        ofEval id: String, state: StoredEvalRun.State?, after: String?, limit: Int, isNewestFirst: Bool
    ) async throws -> [StoredEvalRun] {
        try await read { db in
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM eval_runs WHERE eval_id = ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR
                    sequence \(beyond) (SELECT sequence FROM eval_runs WHERE id = ?3)) ORDER BY sequence \(order) LIMIT ?4
                    """, arguments: [id, state?.rawValue, after, limit]
            ).map(Self.evalRun)
        }
    }

    package func unfinishedEvalRuns() async throws -> [StoredEvalRun] {
        try await read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM eval_runs WHERE state IN ('queued', 'in_progress') ORDER BY sequence"
            ).map(Self.evalRun)
        }
    }

    /// A run that is over stays as it is; whether it was not.
    @discardableResult
    package func save(_ run: StoredEvalRun) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE eval_runs SET state = ?, info = ? WHERE id = ? AND state IN ('queued', 'in_progress')
                    """, arguments: [run.state.rawValue, try Stored.text(run.info), run.id])
            return db.changesCount > 0
        }
    }

    package func deleteEvalRun(_ id: String, projectID: String) async throws -> Bool {
        try await write { db in
            try db.execute(sql: "DELETE FROM eval_runs WHERE id = ? AND project_id = ?", arguments: [id, projectID])
            return db.changesCount > 0
        }
    }

    // MARK: Items

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
        try await write { db in try db.execute(sql: "DELETE FROM eval_items WHERE run_id = ?", arguments: [id]) }
    }

    /// Items without a result behind `number`, in order.
    package func waitingItems(ofRun id: String, after number: Int, limit: Int) async throws -> [StoredEvalItem] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM eval_items WHERE run_id = ? AND state = 'waiting' AND number > ? ORDER BY number LIMIT ?
                    """, arguments: [id, number, limit]
            ).map(Self.item)
        }
    }

    /// Items with a result; `passed` picks those that did or did not.
    package func items(
        ofRun id: String, passed: Bool?, after: String?, limit: Int, isNewestFirst: Bool
    ) async throws -> [StoredEvalItem] {
        try await read { db in
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM eval_items WHERE run_id = ?1 AND state != 'waiting' AND (?2 IS NULL OR
                    (state = 'pass') = ?2) AND (?3 IS NULL OR number \(beyond)
                    (SELECT number FROM eval_items WHERE id = ?3 AND run_id = ?1)) ORDER BY number \(order) LIMIT ?4
                    """, arguments: [id, passed, after, limit]
            ).map(Self.item)
        }
    }

    package func item(_ id: String, ofRun run: String) async throws -> StoredEvalItem? {
        try await read { db in
            try Row.fetchOne(
                db, sql: "SELECT * FROM eval_items WHERE id = ? AND run_id = ? AND state != 'waiting'",
                arguments: [id, run]
            ).map(Self.item)
        }
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
        try await read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT state, COUNT(*) AS items FROM eval_items WHERE run_id = ? GROUP BY state",
                arguments: [id])
            return Dictionary(
                rows.map { (StoredEvalItem.State(rawValue: $0["state"]) ?? .error, $0["items"] as Int) },
                uniquingKeysWith: +)
        }
    }

    /// Passes and failures by criterion: `[name: (passed, failed)]`.
    package func criteriaCounts(ofRun id: String) async throws -> [String: (passed: Int, failed: Int)] {
        try await read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT json_extract(r.value, '$.name') AS name, SUM(json_extract(r.value, '$.passed')) AS passed,
                    COUNT(*) AS results FROM eval_items i, json_each(i.result, '$.results') r
                    WHERE i.run_id = ? AND i.state != 'waiting' GROUP BY 1
                    """, arguments: [id])
            return Dictionary(
                rows.map { row in
                    let (passed, results) = (row["passed"] as Int, row["results"] as Int)
                    return (row["name"] as String, (passed, results - passed))
                }, uniquingKeysWith: { first, _ in first })
        }
    }

    /// Tokens by model: `[model: (requests, input, cached, output)]`.
    package func modelUsage(
        ofRun id: String
    ) async throws -> [(model: String, requests: Int, input: Int, cached: Int, output: Int)] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT json_extract(u.value, '$.model') AS model, COUNT(*) AS requests,
                    SUM(json_extract(u.value, '$.input')) AS input, SUM(json_extract(u.value, '$.cached')) AS cached,
                    SUM(json_extract(u.value, '$.output')) AS output
                    FROM eval_items i, json_each(i.result, '$.usage') u WHERE i.run_id = ? AND i.state != 'waiting'
                    GROUP BY 1 ORDER BY 1
                    """, arguments: [id]
            ).map { ($0["model"], $0["requests"], $0["input"], $0["cached"], $0["output"]) }
        }
    }

    private static func eval(_ row: Row) throws -> StoredEval {
        StoredEval(
            id: row["id"], projectID: row["project_id"], createdAt: row.date("created_at"),
            updatedAt: row.date("updated_at"), info: try Stored.value(StoredEval.Info.self, row["info"]))
    }

    private static func evalRun(_ row: Row) throws -> StoredEvalRun {
        StoredEvalRun(
            id: row["id"], evalID: row["eval_id"], projectID: row["project_id"], keyID: row["key_id"],
            state: StoredEvalRun.State(rawValue: row["state"]) ?? .failed, createdAt: row.date("created_at"),
            info: try Stored.value(StoredEvalRun.Info.self, row["info"]))
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
