import Foundation
import GRDB
import MartletWire

extension Store {
    package func insert(_ batch: StoredBatch) async throws {
        try await execute(
            """
            INSERT INTO batches (id, project_id, key_id, state, created_at, tree_hash, info)
            VALUES (?, ?, ?, ?, ?, ?, ?)
            """,
            [
                batch.id, batch.projectID, batch.keyID, batch.state.rawValue,
                batch.createdAt.timeIntervalSince1970, batch.treeHash, try Stored.text(batch.info),
            ])
    }

    /// Nil where the project has no such batch; `projectID` nil looks everywhere.
    package func batch(_ id: String, projectID: String?) async throws -> StoredBatch? {
        try await first(
            "SELECT * FROM batches WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)", [id, projectID], Self.batch)
    }

    /// Newest first, those behind `after`.
    package func batches(projectID: String, after: String?, limit: Int) async throws -> [StoredBatch] {
        try await all(
            """
            SELECT * FROM batches WHERE project_id = ?1 AND (?2 IS NULL OR sequence <
            (SELECT sequence FROM batches WHERE id = ?2 AND project_id = ?1)) ORDER BY sequence DESC LIMIT ?3
            """, [projectID, after, limit], Self.batch)
    }

    /// Those that are not over, oldest first.
    package func unfinishedBatches() async throws -> [StoredBatch] {
        try await all(
            """
            SELECT * FROM batches WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling')
            ORDER BY sequence
            """, [], Self.batch)
    }

    /// Writes state and info; a batch that is over stays as it is. With `files` these are registered in the same
    /// transaction, and the lines' rows go.
    package func save(_ batch: StoredBatch, files: [BatchFile] = []) async throws {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE batches SET state = ?2, info = ?3 WHERE id = ?1
                    AND state NOT IN ('completed', 'failed', 'expired', 'cancelled')
                    """, arguments: [batch.id, batch.state.rawValue, try Stored.text(batch.info)])
            guard db.changesCount > 0 else { return }
            for file in files { try Self.insert(file.file, tree: file.tree, projectID: batch.projectID, in: db) }
            if batch.state.isFinal {
                try db.execute(sql: "DELETE FROM batch_lines WHERE batch_id = ?", arguments: [batch.id])
            }
        }
    }

    // MARK: Lines

    /// Adds lines; those of an interrupted reading are replaced.
    package func insert(_ lines: [StoredBatchLine], ofBatch id: String) async throws {
        try await write { db in
            let statement = try db.makeStatement(
                sql: """
                    INSERT OR REPLACE INTO batch_lines (batch_id, line, custom_id, place, bytes) VALUES (?, ?, ?, ?, ?)
                    """)
            for line in lines {
                try statement.execute(arguments: [id, line.line, line.customID, line.place, line.byteCount])
            }
        }
    }

    /// Forgets the lines of a batch whose reading begins again.
    package func deleteLines(ofBatch id: String) async throws {
        try await execute("DELETE FROM batch_lines WHERE batch_id = ?", [id])
    }

    /// Lines without a result behind `line`, in order.
    package func waitingLines(ofBatch id: String, after line: Int, limit: Int) async throws -> [StoredBatchLine] {
        try await all(
            """
            SELECT line, custom_id, place, bytes, state, NULL AS result FROM batch_lines
            WHERE batch_id = ? AND state = 'waiting' AND line > ? ORDER BY line LIMIT ?
            """, [id, line, limit], Self.line)
    }

    /// Lines in one state behind `line`, in order, with their results.
    package func lines(
        ofBatch id: String, state: StoredBatchLine.State, after line: Int, limit: Int
    ) async throws -> [StoredBatchLine] {
        try await all(
            """
            SELECT * FROM batch_lines WHERE batch_id = ? AND state = ? AND line > ? ORDER BY line LIMIT ?
            """, [id, state.rawValue, line, limit], Self.line)
    }

    /// Keeps what came of a line and what it used, in one transaction; false where it has a result already.
    package func finish(
        line: Int, ofBatch id: String, state: StoredBatchLine.State, result: String, tokens: StoredBatch.Tally,
        usage: [UsageRow]
    ) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE batch_lines SET state = ?, result = ?, input_tokens = ?, cached_tokens = ?, output_tokens = ?
                    WHERE batch_id = ? AND line = ? AND state = 'waiting'
                    """,
                arguments: [
                    state.rawValue, result, tokens.inputTokens, tokens.cachedTokens, tokens.outputTokens, id, line,
                ])
            guard db.changesCount > 0 else { return false }
            try Self.add(usage, in: db)
            return true
        }
    }

    /// What came of the lines so far.
    package func tally(ofBatch id: String) async throws -> StoredBatch.Tally {
        try await read { db in
            var tally = StoredBatch.Tally()
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT state, COUNT(*) AS lines, SUM(input_tokens) AS input, SUM(cached_tokens) AS cached,
                    SUM(output_tokens) AS output FROM batch_lines WHERE batch_id = ? AND state != 'waiting' GROUP BY state
                    """, arguments: [id])
            for row in rows {
                if row["state"] == StoredBatchLine.State.completed.rawValue { tally.completed = row["lines"] }
                if row["state"] == StoredBatchLine.State.failed.rawValue { tally.failed = row["lines"] }
                tally.inputTokens += row["input"] as Int
                tally.cachedTokens += row["cached"] as Int
                tally.outputTokens += row["output"] as Int
            }
            return tally
        }
    }

    private static func line(_ row: Row) -> StoredBatchLine {
        var line = StoredBatchLine(
            line: row["line"], customID: row["custom_id"], place: row["place"], byteCount: row["bytes"])
        line.state = StoredBatchLine.State(rawValue: row["state"]) ?? .waiting
        line.result = row["result"]
        return line
    }

    private static func batch(_ row: Row) throws -> StoredBatch {
        StoredBatch(
            id: row["id"], projectID: row["project_id"], keyID: row["key_id"],
            state: StoredBatch.State(rawValue: row["state"]) ?? .failed, createdAt: row.date("created_at"),
            treeHash: row["tree_hash"], info: try Stored.value(StoredBatch.Info.self, row["info"]))
    }
}
