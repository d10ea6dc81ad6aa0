import Foundation
import GRDB
import MartletWire

extension Store {
    package func insert(_ eval: StoredEval) async throws {
        try await execute(
            "INSERT INTO evals (id, project_id, created_at, updated_at, info) VALUES (?, ?, ?, ?, ?)",
            [
                eval.id, eval.projectID, eval.createdAt.timeIntervalSince1970,
                eval.updatedAt.timeIntervalSince1970, try Stored.text(eval.info),
            ])
    }

    /// By id, or by the newest of that name.
    package func eval(_ name: String, projectID: String) async throws -> StoredEval? {
        try await first(
            """
            SELECT * FROM evals WHERE project_id = ?2 AND (id = ?1 OR json_extract(info, '$.name') = ?1)
            ORDER BY id = ?1 DESC, sequence DESC LIMIT 1
            """, [name, projectID], Self.eval)
    }

    package func evals(
        projectID: String, after: String?, limit: Int, isNewestFirst: Bool, byUpdate: Bool
    ) async throws -> [StoredEval] {
        // All words are from here, not from a request.
        let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
        let column = byUpdate ? "updated_at" : "created_at"
        return try await all(
            """
            SELECT * FROM evals WHERE project_id = ?1 AND (?2 IS NULL OR (\(column), sequence) \(beyond)
            (SELECT \(column), sequence FROM evals WHERE id = ?2 AND project_id = ?1))
            ORDER BY \(column) \(order), sequence \(order) LIMIT ?3
            """, [projectID, after, limit], Self.eval)
    }

    package func update(_ eval: StoredEval) async throws {
        try await execute(
            "UPDATE evals SET info = ?, updated_at = ? WHERE id = ?",
            [try Stored.text(eval.info), eval.updatedAt.timeIntervalSince1970, eval.id])
    }

    /// With all its runs; whether there was one.
    package func deleteEval(_ id: String, projectID: String) async throws -> Bool {
        try await execute("DELETE FROM evals WHERE id = ? AND project_id = ?", [id, projectID])
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
        try await first(
            "SELECT * FROM eval_runs WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)", [id, projectID], Self.evalRun)
    }

    /// A page of an eval's runs, with whether there are more: `limit` of them, or fewer where what they hold, their data
    /// with it, has more than `byteLimit` bytes; at least one.
    package func evalRuns(
        ofEval id: String, state: StoredEvalRun.State?, after: String?, limit: Int, byteLimit: Int, isNewestFirst: Bool
    ) async throws -> (runs: [StoredEvalRun], hasMore: Bool) {
        try await read { db in
            let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
            let sizes = try Row.fetchAll(
                db,
                sql: """
                    SELECT sequence, LENGTH(CAST(info AS BLOB)) AS size FROM eval_runs
                    WHERE eval_id = ?1 AND (?2 IS NULL OR state = ?2) AND (?3 IS NULL OR
                    sequence \(beyond) (SELECT sequence FROM eval_runs WHERE id = ?3)) ORDER BY sequence \(order) LIMIT ?4
                    """, arguments: [id, state?.rawValue, after, limit + 1])
            return try Self.page(sizes, limit: limit, byteLimit: byteLimit) { size in
                try Row.fetchOne(
                    db, sql: "SELECT * FROM eval_runs WHERE sequence = ?", arguments: [size["sequence"] as Int]
                ).map(Self.evalRun)
            }
        }
    }

    /// The newest run that asked a model.
    package func newestSamplingRun(ofEval id: String) async throws -> StoredEvalRun? {
        try await first(
            """
            SELECT * FROM eval_runs WHERE eval_id = ? AND json_extract(info, '$.model') != ''
            ORDER BY sequence DESC LIMIT 1
            """, [id], Self.evalRun)
    }

    package func unfinishedEvalRuns() async throws -> [StoredEvalRun] {
        try await all(
            "SELECT * FROM eval_runs WHERE state IN ('queued', 'in_progress') ORDER BY sequence", [], Self.evalRun)
    }

    /// A run that is over stays as it is; whether it was not.
    @discardableResult
    package func save(_ run: StoredEvalRun) async throws -> Bool {
        try await execute(
            """
            UPDATE eval_runs SET state = ?, info = ? WHERE id = ? AND state IN ('queued', 'in_progress')
            """, [run.state.rawValue, try Stored.text(run.info), run.id])
    }

    package func deleteEvalRun(_ id: String, projectID: String) async throws -> Bool {
        try await execute("DELETE FROM eval_runs WHERE id = ? AND project_id = ?", [id, projectID])
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
}
