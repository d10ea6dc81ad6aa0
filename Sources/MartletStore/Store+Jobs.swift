import Foundation
import GRDB
import MartletWire

extension Store {
    /// How a repeated request is recognised.
    package enum Repetition: Sendable {
        /// The caller's own key, for 24 hours.
        case key(String)
        /// The same API key and body; `isRetry` where the client says that it repeats itself.
        case body(isRetry: Bool)
    }

    /// Accepts a job, or finds the one that this request made before, in one transaction.
    ///
    /// Throws `idempotencyKeyReused` where an idempotency key comes back with another body.
    package func submit(
        _ job: StoredJob, inputs: [JobInput], repetition: Repetition, bodyHash: String
    ) async throws -> (job: StoredJob, isNew: Bool) {
        let now = job.info.createdAt
        let (key, window): (String, TimeInterval) =
            switch repetition {
            case .key(let key): ("key:\(key)", 86_400)
            case .body: ("body:\(job.keyID):\(bodyHash)", 600)
            }
        return try await write { db in
            let earlier = try Row.fetchOne(
                db,
                sql: "SELECT * FROM idempotency WHERE project_id = ? AND key = ? AND created_at > ?",
                arguments: [job.projectID, key, now.timeIntervalSince1970 - window])
            var isRepetition = earlier != nil
            if case .body(let isRetry) = repetition { isRepetition = isRepetition && isRetry }
            if isRepetition, let earlier {
                guard earlier["body_hash"] == bodyHash else {
                    throw MartletError(
                        .idempotencyKeyReused,
                        "this Idempotency-Key came with another body before; use a new key for a new request",
                        param: "Idempotency-Key")
                }
                if let row = try Row.fetchOne(
                    db, sql: "SELECT * FROM jobs WHERE id = ?", arguments: [earlier["job_id"]])
                {
                    return (try StoredJob(row), false)
                }
            }
            try Self.insert(job, in: db)
            for input in inputs {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO job_inputs VALUES (?, ?, ?, ?, ?, ?)",
                    arguments: [
                        job.info.id, input.kind, input.reference, input.name, input.version, input.treeHash,
                    ])
            }
            try db.execute(
                sql: "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?)",
                arguments: [job.projectID, key, bodyHash, job.info.id, now.timeIntervalSince1970])
            try db.execute(
                sql: "DELETE FROM idempotency WHERE created_at < ?", arguments: [now.timeIntervalSince1970 - 86_400])
            return (job, true)
        }
    }

    private static func insert(_ job: StoredJob, in db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO jobs (id, project_id, key_id, kind, name, state, created_at, request)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                job.info.id, job.projectID, job.keyID, job.info.kind.rawValue, job.info.name, job.info.state.rawValue,
                job.info.createdAt.timeIntervalSince1970, try Stored.text(job.request.stored),
            ])
    }

    /// Nil where the project has no such job; `projectID` nil looks everywhere.
    package func job(_ id: String, projectID: String?) async throws -> StoredJob? {
        try await first(
            "SELECT * FROM jobs WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)", [id, projectID], StoredJob.init)
    }

    /// Newest first, those before the job `after`.
    package func jobs(projectID: String, after: String?, limit: Int) async throws -> [StoredJob] {
        try await all(
            """
            SELECT * FROM jobs WHERE project_id = ?1 AND
            (?2 IS NULL OR sequence < (SELECT sequence FROM jobs WHERE id = ?2 AND project_id = ?1))
            ORDER BY sequence DESC LIMIT ?3
            """, [projectID, after, limit], StoredJob.init)
    }

    /// Jobs of every project that are not final, oldest first.
    package func unfinishedJobs() async throws -> [StoredJob] {
        try await all(
            "SELECT * FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY sequence", [],
            StoredJob.init)
    }

    package func inputs(ofJob id: String) async throws -> [JobInput] {
        try await all("SELECT * FROM job_inputs WHERE job_id = ?", [id]) {
            JobInput(
                kind: $0["kind"], reference: $0["reference"], name: $0["name"], version: $0["version"],
                treeHash: $0["tree_hash"])
        }
    }

    package func jobCounts() async throws -> [JobState: Int] {
        try await read { db in
            var counts: [JobState: Int] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT state, COUNT(*) AS count FROM jobs GROUP BY state") {
                if let state = JobState(rawValue: row["state"]) { counts[state] = row["count"] }
            }
            return counts
        }
    }

    /// What became of a job; a final state is never left again.
    package func setState(
        _ state: JobState, ofJob id: String, error: MartletError? = nil, result: JSON? = nil, at date: Date
    ) async throws {
        try await execute(
            """
            UPDATE jobs SET state = ?2, error = ?3, result = COALESCE(?4, result),
            finished_at = CASE WHEN ?2 IN ('succeeded', 'failed', 'cancelled') THEN ?5 END
            WHERE id = ?1 AND state NOT IN ('succeeded', 'failed', 'cancelled')
            """,
            [
                id, state.rawValue, try error.map(Stored.text), result?.serialized(), date.timeIntervalSince1970,
            ])
    }

    /// A worker is about to be started with a token that hashes to this.
    package func beginAttempt(ofJob id: String, tokenHash: String, at date: Date) async throws {
        try await execute(
            """
            UPDATE jobs SET attempts = attempts + 1, token_hash = ?2, pid = NULL, process_start = NULL,
            started_at = COALESCE(started_at, ?3) WHERE id = ?1
            """, [id, tokenHash, date.timeIntervalSince1970])
    }

    package func setWorker(ofJob id: String, pid: Int32?, start: Int64?) async throws {
        try await execute("UPDATE jobs SET pid = ?, process_start = ? WHERE id = ?", [pid, start, id])
    }

    package func setDeployment(_ name: String, ofJob id: String) async throws {
        try await execute("UPDATE jobs SET deployment = ? WHERE id = ?", [name, id])
    }

    // MARK: Events

    /// Keeps an event unless the job has one with its key; the place that it got, nil for a repetition.
    package func append(_ event: JobEvent, toJob id: String, at date: Date) async throws -> Int? {
        try await write { db in try Self.append(event, toJob: id, at: date, in: db) }
    }

    static func append(_ event: JobEvent, toJob id: String, at date: Date, in db: Database) throws -> Int? {
        try Int.fetchOne(
            db,
            sql: """
                INSERT OR IGNORE INTO job_events
                SELECT ?1, COALESCE(MAX(sequence), 0) + 1, ?2, ?3, ?4 FROM job_events WHERE job_id = ?1
                RETURNING sequence
                """, arguments: [id, event.key, date.timeIntervalSince1970, try Stored.text(event)])
    }

    package func events(ofJob id: String, after: Int, limit: Int) async throws -> [JobEventInfo] {
        try await all(
            "SELECT * FROM job_events WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?", [id, after, limit],
            Self.event)
    }

    static func event(_ row: Row) throws -> JobEventInfo {
        JobEventInfo(
            sequence: row["sequence"], createdAt: row.date("created_at"),
            event: try Stored.value(JobEvent.self, row["event"]))
    }
}
