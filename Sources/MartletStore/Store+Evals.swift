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
            var (runs, byteCount): ([StoredEvalRun], Int) = ([], 0)
            for size in sizes.prefix(limit) {
                byteCount += size["size"] as Int
                guard runs.isEmpty || byteCount <= byteLimit else { break }
                let row = try Row.fetchOne(
                    db, sql: "SELECT * FROM eval_runs WHERE sequence = ?", arguments: [size["sequence"] as Int])
                if let row { runs.append(try Self.evalRun(row)) }
            }
            return (runs, sizes.count > runs.count)
        }
    }

    /// The newest run that asked a model.
    package func newestSamplingRun(ofEval id: String) async throws -> StoredEvalRun? {
        try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT * FROM eval_runs WHERE eval_id = ? AND json_extract(info, '$.model') != ''
                    ORDER BY sequence DESC LIMIT 1
                    """, arguments: [id]
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
