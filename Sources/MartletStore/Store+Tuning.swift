import Foundation
import GRDB
import MartletWire

extension Store {
    /// What a `model` string stands for among registered models: `name` (its newest version), `name@version`, or a
    /// tuned model's or checkpoint's `ft:…` id.
    package func resolveModel(_ reference: String, projectID: String) async throws -> ModelInfo? {
        if let (name, version) = try? Name.parseReference(reference, what: "model") {
            return try await model(name, version: version, projectID: projectID)
        }
        return try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT m.* FROM model_aliases a JOIN models m
                    ON m.project_id = a.project_id AND m.name = a.name AND m.version = a.version
                    WHERE a.project_id = ? AND a.alias = ?
                    """, arguments: [projectID, reference]
            ).map { try Self.model($0, in: db) }
        }
    }

    /// Oldest first.
    package func modelAliases(projectID: String) async throws -> [ModelAlias] {
        try await all("SELECT * FROM model_aliases WHERE project_id = ? ORDER BY created_at, alias", [projectID]) {
            ModelAlias(
                alias: $0["alias"], model: "\($0["name"] as String)@\($0["version"] as Int)",
                createdAt: $0.date("created_at"))
        }
    }

    static func insertAlias(
        _ alias: String, name: String, version: Int, projectID: String, at date: Date, in db: Database
    )
        throws
    {
        try db.execute(
            sql: "INSERT OR REPLACE INTO model_aliases VALUES (?, ?, ?, ?, ?)",
            arguments: [projectID, alias, name, version, date.timeIntervalSince1970])
    }

    /// Registers a checkpoint's bundle as a version of its name with its alias, in one transaction.
    ///
    /// A step that the job has already gives what it had; a job that is over, or not there, gives nil.
    package func register(
        _ checkpoint: TunedCheckpoint, ofJob jobID: String, id: String, model: NewModel, alias: String, at date: Date
    ) async throws -> (checkpoint: TunedCheckpointInfo, isNew: Bool)? {
        try await write { db in
            if let row = try Row.fetchOne(
                db, sql: "SELECT * FROM tuned_checkpoints WHERE job_id = ? AND step = ?",
                arguments: [jobID, checkpoint.step])
            {
                return (try Self.checkpoint(row), false)
            }
            guard let row = try Row.fetchOne(db, sql: "SELECT * FROM jobs WHERE id = ?", arguments: [jobID]),
                case let job = try StoredJob(row), !job.info.state.isFinal
            else { return nil }
            let version = try Self.insert(model, ofJob: job, at: date, in: db)
            try Self.insertAlias(alias, name: model.name, version: version, projectID: job.projectID, at: date, in: db)
            let info = TunedCheckpointInfo(
                id: id, jobID: jobID, step: checkpoint.step, model: "\(model.name)@\(version)", alias: alias,
                metrics: checkpoint.metrics, createdAt: date)
            try db.execute(
                sql: "INSERT INTO tuned_checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    id, jobID, info.step, info.model, alias, try Stored.text(info.metrics), date.timeIntervalSince1970,
                ])
            return (info, true)
        }
    }

    package func checkpoint(ofJob id: String, step: Int) async throws -> TunedCheckpointInfo? {
        try await first("SELECT * FROM tuned_checkpoints WHERE job_id = ? AND step = ?", [id, step], Self.checkpoint)
    }

    /// Newest first, those before the checkpoint `after`.
    package func checkpoints(ofJob id: String, after: String?, limit: Int) async throws -> [TunedCheckpointInfo] {
        try await all(
            """
            SELECT * FROM tuned_checkpoints WHERE job_id = ?1 AND
            (?2 IS NULL OR step < (SELECT step FROM tuned_checkpoints WHERE id = ?2 AND job_id = ?1))
            ORDER BY step DESC LIMIT ?3
            """, [id, after, limit], Self.checkpoint)
    }

    private static func checkpoint(_ row: Row) throws -> TunedCheckpointInfo {
        TunedCheckpointInfo(
            id: row["id"], jobID: row["job_id"], step: row["step"], model: row["model"], alias: row["alias"],
            metrics: try Stored.value([String: Double].self, row["metrics"]), createdAt: row.date("created_at"))
    }

    // MARK: A fine-tuning job's history, as OpenAI's API asks for it

    /// Newest first, those before `before`.
    package func newestEvents(ofJob id: String, before: Int?, limit: Int) async throws -> [JobEventInfo] {
        try await all(
            """
            SELECT * FROM job_events WHERE job_id = ?1 AND (?2 IS NULL OR sequence < ?2)
            ORDER BY sequence DESC LIMIT ?3
            """, [id, before, limit], Self.event)
    }

    package func event(ofJob id: String, key: String) async throws -> JobEventInfo? {
        try await first("SELECT * FROM job_events WHERE job_id = ? AND key = ?", [id, key], Self.event)
    }

    /// Fine-tuning jobs, newest first, those before the job `after`; those whose own metadata has all of
    /// `metadata`, or, `withoutMetadata`, those that have none.
    package func tuningJobs(
        projectID: String, after: String?, limit: Int, metadata: [String: String], withoutMetadata: Bool
    ) async throws -> [StoredJob] {
        try await read { db in
            var sql = """
                SELECT * FROM jobs WHERE project_id = ? AND kind = 'fine_tune' AND
                (? IS NULL OR sequence < (SELECT sequence FROM jobs WHERE id = ? AND project_id = ?))
                """
            var arguments: StatementArguments = [projectID, after, after, projectID]
            for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
                sql += " AND EXISTS (SELECT 1 FROM json_each(request, '$.tuning.metadata') WHERE key = ? AND value = ?)"
                arguments += [key, value]
            }
            if withoutMetadata {
                sql += " AND NOT EXISTS (SELECT 1 FROM json_each(request, '$.tuning.metadata'))"
            }
            arguments += [limit]
            return try Row.fetchAll(db, sql: sql + " ORDER BY sequence DESC LIMIT ?", arguments: arguments)
                .map(StoredJob.init)
        }
    }
}
