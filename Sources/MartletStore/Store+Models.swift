import Foundation
import GRDB
import MartletWire

/// A bundle that a job made, ready to be registered.
package struct NewModel: Sendable {
    package var name: String
    package var tree: Tree
    package var card: ModelCard
    package var signature: Signature

    package init(name: String, tree: Tree, card: ModelCard, signature: Signature) {
        self.name = name
        self.tree = tree
        self.card = card
        self.signature = signature
    }
}

/// What a fine-tuning job leaves besides its model.
package struct TuningOutcome: Sendable {
    /// The model's `ft:…` id.
    package var alias: String
    /// The table of its metrics.
    package var file: FileInfo
    package var tree: Tree
    /// The last of its history.
    package var events: [JobEvent]

    package init(alias: String, file: FileInfo, tree: Tree, events: [JobEvent] = []) {
        self.alias = alias
        self.file = file
        self.tree = tree
        self.events = events
    }
}

extension Store {
    /// Ends a job and registers its model in one transaction: either both are there or neither.
    ///
    /// The answer is the model's `name@version`; a job that is final already gives what it had. `usage` is what the
    /// whole job used; what it was charged while it ran is taken off.
    package func succeed(
        job id: String, model: NewModel?, result: JSON, tuning: TuningOutcome? = nil, usage: UsageRow? = nil,
        at date: Date
    ) async throws -> String? {
        try await write { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT * FROM jobs WHERE id = ?", arguments: [id]) else {
                throw MartletError(.notFound, "the job is gone")
            }
            let job = try StoredJob(row)
            guard !job.info.state.isFinal else { return job.info.model }
            var reference: String?
            if let model {
                let version = try Self.insert(model, ofJob: job, at: date, in: db)
                reference = "\(model.name)@\(version)"
                if let alias = tuning?.alias {
                    try Self.insertAlias(
                        alias, name: model.name, version: version, projectID: job.projectID, at: date, in: db)
                }
            }
            if let file = tuning?.file, let tree = tuning?.tree {
                try Self.insert(file, tree: tree, projectID: job.projectID, in: db)
            }
            for event in tuning?.events ?? [] { _ = try Self.append(event, toJob: id, at: date, in: db) }
            try db.execute(
                sql: """
                    UPDATE jobs SET state = 'succeeded', error = NULL, model = ?2, result = ?3, finished_at = ?4
                    WHERE id = ?1
                    """, arguments: [id, reference, result.serialized(), date.timeIntervalSince1970])
            if var rest = usage {
                rest.cpuSeconds = max(0, rest.cpuSeconds - (try Self.charged(job: id, in: db)))
                try Self.add([rest], in: db)
            }
            return reference
        }
    }

    /// Registers the next version of the model's name; the version.
    static func insert(_ model: NewModel, ofJob job: StoredJob, at date: Date, in db: Database) throws -> Int {
        try insert(model.tree, at: date, in: db)
        let version = try nextVersion(of: model.name, kind: "model", projectID: job.projectID, in: db)
        try db.execute(
            sql: "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                job.projectID, model.name, version, model.tree.hash, date.timeIntervalSince1970, job.info.id,
                try Stored.text(model.card), try Stored.text(model.signature),
            ])
        return version
    }

    /// The given version, or the newest.
    package func model(_ name: String, version: Int?, projectID: String) async throws -> ModelInfo? {
        try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT * FROM models WHERE project_id = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)
                    ORDER BY version DESC LIMIT 1
                    """, arguments: [projectID, name, version]
            ).map { try Self.model($0, in: db) }
        }
    }

    /// Every version of one name, newest first; or, without a name, the newest version of each.
    package func models(named name: String?, projectID: String) async throws -> [ModelInfo] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM models m WHERE project_id = ?1 AND (name = ?2 OR ?2 IS NULL AND version =
                    (SELECT MAX(version) FROM models WHERE project_id = ?1 AND name = m.name))
                    ORDER BY name, version DESC
                    """, arguments: [projectID, name]
            ).map { try Self.model($0, in: db) }
        }
    }

    /// What needs a model's version, in words: deployments, unfinished jobs and adapters that were made for it.
    package func users(ofModel reference: String, projectID: String) async throws -> [String] {
        try await read { db in
            let deployments = try String.fetchAll(
                db,
                sql: """
                    SELECT name FROM deployments
                    WHERE project_id = ?1 AND ?2 IN (model, previous_model, next_model) ORDER BY name
                    """, arguments: [projectID, reference])
            let jobs = try String.fetchAll(
                db,
                sql: """
                    SELECT j.id FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                    WHERE j.project_id = ? AND i.kind = 'model' AND i.name || '@' || i.version = ?
                    AND j.state NOT IN ('succeeded', 'failed', 'cancelled')
                    """, arguments: [projectID, reference])
            let adapters = try Row.fetchAll(
                db,
                sql: """
                    SELECT name, version FROM models WHERE project_id = ? AND
                    json_extract(signature, '$.language.base.reference') = ? ORDER BY name, version
                    """, arguments: [projectID, reference])
            return deployments.map { "deployment \($0)" } + jobs.map { "job \($0)" }
                + adapters.map { "adapter \($0["name"] as String)@\($0["version"] as Int)" }
        }
    }

    /// False where a deployment has it, unless `force`: nothing is deleted then.
    @discardableResult
    package func deleteModel(_ name: String, version: Int, projectID: String, force: Bool) async throws -> Bool {
        try await write { db in
            let isDeployed = try Bool.fetchOne(
                db,
                sql: """
                    SELECT EXISTS (SELECT 1 FROM deployments
                    WHERE project_id = ? AND ? IN (model, previous_model, next_model))
                    """, arguments: [projectID, "\(name)@\(version)"])
            guard force || isDeployed != true else { return false }
            try db.execute(
                sql: "DELETE FROM models WHERE project_id = ? AND name = ? AND version = ?",
                arguments: [projectID, name, version])
            return true
        }
    }

    static func model(_ row: Row, in db: Database) throws -> ModelInfo {
        let files = try files(of: row["tree_hash"], in: db)
        var model = ModelInfo(
            name: row["name"], version: row["version"], contentHash: row["tree_hash"],
            createdAt: row.date("created_at"), jobID: row["job_id"], files: files,
            byteCount: files.reduce(0) { $0 + $1.byteCount }, card: try Stored.value(ModelCard.self, row["card"]),
            signature: try Stored.value(Signature.self, row["signature"]))
        let aliases = try String.fetchAll(
            db, sql: "SELECT alias FROM model_aliases WHERE project_id = ? AND name = ? AND version = ? ORDER BY alias",
            arguments: [row["project_id"] as String, model.name, model.version])
        model.aliases = aliases.isEmpty ? nil : aliases
        return model
    }
}
