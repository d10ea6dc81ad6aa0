import Foundation
import GRDB
import MartletWire

extension Store {
    /// Registers a file and its content in one transaction, and where `name` is given, as that dataset's next version
    /// unless its newest has the same content.
    package func insert(
        _ file: FileInfo, tree: Tree, asDataset name: String?, projectID: String
    ) async throws -> (file: FileInfo, isNewDataset: Bool) {
        try await write { db in try Self.insert(file, tree: tree, asDataset: name, projectID: projectID, in: db) }
    }

    static func insert(
        _ file: FileInfo, tree: Tree, asDataset name: String?, projectID: String, in db: Database
    ) throws -> (file: FileInfo, isNewDataset: Bool) {
        var (file, isNew) = (file, false)
        if let name {
            let newest = try Row.fetchOne(
                db,
                sql: """
                    SELECT version, tree_hash FROM datasets WHERE project_id = ? AND name = ?
                    ORDER BY version DESC LIMIT 1
                    """, arguments: [projectID, name])
            if let newest, newest["tree_hash"] == tree.hash {
                file.dataset = "\(name)@\(newest["version"] as Int)"
            } else {
                let version = try insertDataset(
                    name: name, tree: tree, projectID: projectID, at: file.createdAt, in: db)
                (file.dataset, isNew) = ("\(name)@\(version)", true)
            }
        }
        try insert(file, tree: tree, projectID: projectID, in: db)
        return (file, isNew)
    }

    static func insert(_ file: FileInfo, tree: Tree, projectID: String, in db: Database) throws {
        try insert(tree, at: file.createdAt, in: db)
        try db.execute(
            sql: """
                INSERT INTO files (id, project_id, filename, purpose, bytes, created_at, expires_at, tree_hash, dataset,
                job_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                file.id, projectID, file.filename, file.purpose.rawValue, file.byteCount,
                file.createdAt.timeIntervalSince1970, file.expiresAt?.timeIntervalSince1970, tree.hash, file.dataset,
                file.jobID,
            ])
    }

    /// Nil where the project has no such file, or has none any more at `date`; `projectID` nil looks everywhere.
    package func file(_ id: String, projectID: String?, at date: Date) async throws -> FileInfo? {
        try await first(
            """
            SELECT * FROM files WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)
            AND (expires_at IS NULL OR expires_at > ?3)
            """, [id, projectID, date.timeIntervalSince1970], Self.file)
    }

    /// In the order of their making or, `isNewestFirst`, against it; those behind the file `after`.
    package func files(
        projectID: String, purpose: FilePurpose?, after: String?, limit: Int, isNewestFirst: Bool, at date: Date
    ) async throws -> [FileInfo] {
        // Both words are from here, not from a request.
        let (order, beyond) = isNewestFirst ? ("DESC", "<") : ("ASC", ">")
        return try await all(
            """
            SELECT * FROM files WHERE project_id = ?1 AND (?2 IS NULL OR purpose = ?2) AND (?3 IS NULL OR
            sequence \(beyond) (SELECT sequence FROM files WHERE id = ?3 AND project_id = ?1))
            AND (expires_at IS NULL OR expires_at > ?5) ORDER BY sequence \(order) LIMIT ?4
            """, [projectID, purpose?.rawValue, after, limit, date.timeIntervalSince1970], Self.file)
    }

    /// The files that a job left, oldest first.
    package func files(ofJob id: String) async throws -> [FileInfo] {
        try await all("SELECT * FROM files WHERE job_id = ? ORDER BY sequence", [id], Self.file)
    }

    /// Unfinished jobs that read the file, other than those that only describe it.
    package func users(ofFile id: String, projectID: String) async throws -> [String] {
        try await read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT DISTINCT j.id FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                    JOIN files f ON f.id = ?1 AND f.project_id = ?2
                    WHERE j.project_id = ?2 AND j.kind != 'import' AND (i.reference = ?1 OR
                        i.kind = 'dataset' AND i.name || '@' || i.version = f.dataset)
                    AND j.state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY j.id
                    """, arguments: [id, projectID])
        }
    }

    /// Forgets a file, and the dataset that it is where neither another file nor a model refers to that; false where
    /// it was gone.
    package func deleteFile(_ id: String, projectID: String) async throws -> Bool {
        try await write { db in
            let arguments: StatementArguments = [id, projectID]
            guard
                let row = try Row.fetchOne(
                    db, sql: "SELECT * FROM files WHERE id = ? AND project_id = ?", arguments: arguments)
            else { return false }
            try db.execute(sql: "DELETE FROM files WHERE id = ? AND project_id = ?", arguments: arguments)
            guard let dataset = row["dataset"] as String? else { return true }
            try db.execute(
                sql: """
                    DELETE FROM datasets WHERE project_id = ?1 AND name || '@' || version = ?2
                    AND NOT EXISTS (SELECT 1 FROM files WHERE project_id = ?1 AND dataset = ?2)
                    AND NOT EXISTS (SELECT 1 FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                        LEFT JOIN models m ON m.job_id = j.id
                        WHERE j.project_id = ?1 AND i.kind = 'dataset' AND i.name || '@' || i.version = ?2
                        AND j.kind != 'import'
                        AND (m.name IS NOT NULL OR j.state NOT IN ('succeeded', 'failed', 'cancelled')))
                    """, arguments: [projectID, dataset])
            return true
        }
    }

    /// Files whose time is over, of every project: id and project.
    package func expiredFiles(at date: Date) async throws -> [(id: String, projectID: String)] {
        try await all("SELECT id, project_id FROM files WHERE expires_at <= ?", [date.timeIntervalSince1970]) {
            ($0["id"], $0["project_id"])
        }
    }

    static func file(_ row: Row) -> FileInfo {
        FileInfo(
            id: row["id"], filename: row["filename"], purpose: FilePurpose(rawValue: row["purpose"]) ?? .userData,
            byteCount: row["bytes"], createdAt: row.date("created_at"), expiresAt: row.optionalDate("expires_at"),
            contentHash: row["tree_hash"], dataset: row["dataset"], jobID: row["job_id"])
    }
}
