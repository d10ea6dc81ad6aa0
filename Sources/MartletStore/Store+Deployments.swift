import Foundation
import GRDB
import MartletWire

/// A deployment as it is kept; what its replicas do at the moment is not.
package struct StoredDeployment: Sendable, Equatable {
    package var projectID: String
    package var name: String
    /// `name@version` of the model that answers; of the first one, from before it can.
    package var model: String
    package var previousModel: String?
    /// What is being loaded to take over.
    package var nextModel: String?
    package var error: String?
    package var replicas: Int
    package var createdAt: Date
    package var updatedAt: Date

    package init(projectID: String, name: String, model: String, replicas: Int, createdAt: Date) {
        self.projectID = projectID
        self.name = name
        self.model = model
        self.replicas = replicas
        self.createdAt = createdAt
        updatedAt = createdAt
    }
}

extension Store {
    package func save(_ deployment: StoredDeployment) async throws {
        try await write { db in try Self.save(deployment, in: db) }
    }

    /// The same for one whose next model is about to be loaded, let through by `gate` where there is one.
    /// False where that model or the gate is gone: nothing is stored then.
    package func begin(_ deployment: StoredDeployment, gate: StoredGate? = nil) async throws -> Bool {
        try await write { db in
            if let gate, try !Self.isOpen(gate, in: db) { return false }
            let isThere = try Bool.fetchOne(
                db,
                sql: "SELECT EXISTS (SELECT 1 FROM models WHERE project_id = ? AND name || '@' || version = ?)",
                arguments: [deployment.projectID, deployment.nextModel ?? deployment.model])
            guard isThere == true else { return false }
            try Self.save(deployment, in: db)
            return true
        }
    }

    private static func save(_ deployment: StoredDeployment, in db: Database) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO deployments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                deployment.projectID, deployment.name, deployment.model, deployment.previousModel,
                deployment.nextModel, deployment.error, deployment.replicas,
                deployment.createdAt.timeIntervalSince1970, deployment.updatedAt.timeIntervalSince1970,
            ])
    }

    /// Of every project.
    package func deployments() async throws -> [StoredDeployment] {
        try await all("SELECT * FROM deployments ORDER BY project_id, name") { row in
            var deployment = StoredDeployment(
                projectID: row["project_id"], name: row["name"], model: row["model"], replicas: row["replicas"],
                createdAt: row.date("created_at"))
            deployment.previousModel = row["previous_model"]
            deployment.nextModel = row["next_model"]
            deployment.error = row["error"]
            deployment.updatedAt = row.date("updated_at")
            return deployment
        }
    }

    package func deleteDeployment(_ name: String, projectID: String) async throws {
        try await write { db in
            for table in ["deployments", "gates"] {
                try db.execute(
                    sql: "DELETE FROM \(table) WHERE project_id = ? AND name = ?", arguments: [projectID, name])
            }
        }
    }

    // MARK: Replica processes

    package func addProcess(pid: Int32, start: Int64) async throws {
        try await execute("INSERT OR IGNORE INTO processes VALUES (?, ?)", [pid, start])
    }

    package func removeProcess(pid: Int32, start: Int64) async throws {
        try await execute("DELETE FROM processes WHERE pid = ? AND start = ?", [pid, start])
    }

    package func processes() async throws -> [(pid: Int32, start: Int64)] {
        try await all("SELECT * FROM processes") { ($0["pid"], $0["start"]) }
    }

    // MARK: Usage

    /// Adds to the rows of the same hour, project, key, kind and resource. `project` and `key` are ids.
    package func add(_ usage: [UsageRow]) async throws {
        guard !usage.isEmpty else { return }
        try await write { db in try Self.add(usage, in: db) }
    }

    static func add(_ usage: [UsageRow], in db: Database) throws {
        for row in usage {
            try db.execute(
                sql: """
                    INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                    requests = requests + excluded.requests, rows = rows + excluded.rows,
                    cpu_seconds = cpu_seconds + excluded.cpu_seconds,
                    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
                    completion_tokens = completion_tokens + excluded.completion_tokens
                    """,
                arguments: [
                    row.hour.timeIntervalSince1970, row.project, row.key, row.kind, row.resource, row.requests,
                    row.rows, row.cpuSeconds, row.promptTokens, row.completionTokens,
                ])
        }
    }

    /// `project` in the rows is the project's name.
    package func usage(projectID: String?, from: Date?, to: Date?) async throws -> [UsageRow] {
        try await all(
            """
            SELECT u.*, COALESCE(p.name, u.project_id) AS project_name FROM usage u
            LEFT JOIN projects p ON p.id = u.project_id
            WHERE (?1 IS NULL OR u.project_id = ?1) AND (?2 IS NULL OR hour >= ?2) AND (?3 IS NULL OR hour < ?3)
            ORDER BY hour, project_name, key_id, kind, resource
            """, [projectID, from?.timeIntervalSince1970, to?.timeIntervalSince1970]
        ) { row in
            UsageRow(
                hour: row.date("hour"), project: row["project_name"], key: row["key_id"], kind: row["kind"],
                resource: row["resource"], requests: row["requests"], rows: row["rows"],
                cpuSeconds: row["cpu_seconds"], promptTokens: row["prompt_tokens"],
                completionTokens: row["completion_tokens"])
        }
    }
}
