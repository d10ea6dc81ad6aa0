import Foundation
import GRDB
import MartletWire

extension Store {
    /// Registers the next version of a name.
    package func insertDataset(name: String, tree: Tree, projectID: String, at date: Date) async throws -> DatasetInfo {
        try await write { db in
            let version = try Self.insertDataset(name: name, tree: tree, projectID: projectID, at: date, in: db)
            return DatasetInfo(
                name: name, version: version, contentHash: tree.hash, files: tree.files, byteCount: tree.byteCount,
                createdAt: date)
        }
    }

    static func insertDataset(name: String, tree: Tree, projectID: String, at date: Date, in db: Database) throws -> Int
    {
        try insert(tree, at: date, in: db)
        let version = try nextVersion(of: name, kind: "dataset", projectID: projectID, in: db)
        try db.execute(
            sql: "INSERT INTO datasets (project_id, name, version, tree_hash, created_at) VALUES (?, ?, ?, ?, ?)",
            arguments: [projectID, name, version, tree.hash, date.timeIntervalSince1970])
        return version
    }

    package func setProfile(
        job: String?, result: JSON?, ofDataset name: String, version: Int, projectID: String
    ) async throws {
        try await execute(
            """
            UPDATE datasets SET profile_job = COALESCE(?, profile_job), profile = COALESCE(?, profile)
            WHERE project_id = ? AND name = ? AND version = ?
            """, [job, result?.serialized(), projectID, name, version])
    }

    /// The given version, or the newest.
    package func dataset(_ name: String, version: Int?, projectID: String) async throws -> DatasetInfo? {
        try await read { db in
            try Row.fetchOne(
                db,
                sql: """
                    SELECT * FROM datasets WHERE project_id = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)
                    ORDER BY version DESC LIMIT 1
                    """, arguments: [projectID, name, version]
            ).map { try Self.dataset($0, in: db) }
        }
    }

    package func datasetVersions(_ name: String, projectID: String) async throws -> [Int] {
        try await read { db in
            try Int.fetchAll(
                db, sql: "SELECT version FROM datasets WHERE project_id = ? AND name = ? ORDER BY version DESC",
                arguments: [projectID, name])
        }
    }

    /// The newest version of each name.
    package func datasets(projectID: String) async throws -> [DatasetInfo] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT * FROM datasets d WHERE project_id = ?1 AND version =
                    (SELECT MAX(version) FROM datasets WHERE project_id = ?1 AND name = d.name) ORDER BY name
                    """, arguments: [projectID]
            ).map { try Self.dataset($0, in: db) }
        }
    }

    /// What needs a dataset's version, in words: unfinished jobs that read it and models that were made from it.
    package func users(ofDataset name: String, version: Int, projectID: String) async throws -> [String] {
        try await read { db in
            let jobs = try String.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT j.id FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                    WHERE j.project_id = ? AND i.kind = 'dataset' AND i.name = ? AND i.version = ?
                    AND j.state NOT IN ('succeeded', 'failed', 'cancelled')
                    """, arguments: [projectID, name, version])
            let models = try Row.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT m.name, m.version FROM job_inputs i JOIN models m ON m.job_id = i.job_id
                    WHERE m.project_id = ? AND i.kind = 'dataset' AND i.name = ? AND i.version = ?
                    """, arguments: [projectID, name, version])
            return jobs.map { "job \($0)" }
                + models.map { "model \($0["name"] as String)@\($0["version"] as Int)" }
        }
    }

    package func deleteDataset(_ name: String, version: Int, projectID: String) async throws {
        try await execute(
            "DELETE FROM datasets WHERE project_id = ? AND name = ? AND version = ?", [projectID, name, version])
    }

    private static func dataset(_ row: Row, in db: Database) throws -> DatasetInfo {
        let files = try files(of: row["tree_hash"], in: db)
        return DatasetInfo(
            name: row["name"], version: row["version"], contentHash: row["tree_hash"], files: files,
            byteCount: files.reduce(0) { $0 + $1.byteCount }, createdAt: row.date("created_at"),
            profileJob: row["profile_job"], profile: try Stored.json(row["profile"]))
    }
}
