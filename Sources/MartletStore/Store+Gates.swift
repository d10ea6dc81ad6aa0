import Foundation
import GRDB

/// A model that waits for a run of an eval before it takes over a deployment.
package struct StoredGate: Sendable, Equatable {
    package var projectID: String
    /// The deployment.
    package var name: String
    /// `name@version` of what is judged, and nothing else is deployed.
    package var model: String
    package var replicas: Int?
    package var evalID: String
    package var runID: String
    package var keyID: String
    package var createdAt: Date

    package init(
        projectID: String, name: String, model: String, replicas: Int?, evalID: String, runID: String, keyID: String,
        createdAt: Date
    ) {
        self.projectID = projectID
        self.name = name
        self.model = model
        self.replicas = replicas
        self.evalID = evalID
        self.runID = runID
        self.keyID = keyID
        self.createdAt = createdAt
    }
}

extension Store {
    /// With its run, in one transaction; takes the place of a gate of before.
    package func insert(_ run: StoredEvalRun, gate: StoredGate?) async throws {
        try await write { db in
            try Self.insert(run, in: db)
            guard let gate else { return }
            try db.execute(
                sql: "INSERT OR REPLACE INTO gates VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [
                    gate.projectID, gate.name, gate.model, gate.replicas, gate.evalID, gate.runID, gate.keyID,
                    gate.createdAt.timeIntervalSince1970,
                ])
        }
    }

    /// Of every project, oldest first.
    package func gates() async throws -> [StoredGate] {
        try await all("SELECT * FROM gates ORDER BY created_at, name") { row in
            StoredGate(
                projectID: row["project_id"], name: row["name"], model: row["model"], replicas: row["replicas"],
                evalID: row["eval_id"], runID: row["run_id"], keyID: row["key_id"],
                createdAt: row.date("created_at"))
        }
    }

    /// Whether the gate is still there: none took its place.
    package func isOpen(_ gate: StoredGate) async throws -> Bool {
        try await read { db in try Self.isOpen(gate, in: db) }
    }

    static func isOpen(_ gate: StoredGate, in db: Database) throws -> Bool {
        try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM gates WHERE project_id = ? AND name = ? AND run_id = ?)",
            arguments: [gate.projectID, gate.name, gate.runID]) ?? false
    }

    /// The gate of a deployment, or only where it waits for `runID`.
    package func deleteGate(_ name: String, projectID: String, runID: String? = nil) async throws {
        try await execute(
            "DELETE FROM gates WHERE project_id = ?1 AND name = ?2 AND (?3 IS NULL OR run_id = ?3)",
            [projectID, name, runID])
    }
}
