import Foundation
import GRDB

extension Store {
    /// What one project keeps of one kind.
    package struct StorageRow: Sendable {
        package var project: String
        /// `dataset`, `model` or `file`.
        package var kind: String
        package var count: Int
        package var byteCount: Int
    }

    /// Bytes by project; what two versions share is counted for each.
    package func storageByProject() async throws -> [StorageRow] {
        try await read { db in
            try ["dataset", "model", "file"].flatMap { kind in
                // The table's name is one of those above; a file that is a dataset is counted as that.
                try Row.fetchAll(
                    db,
                    sql: """
                        SELECT p.name AS project, COUNT(*) AS count, SUM(t.bytes) AS bytes FROM \(kind)s x
                        JOIN trees t ON t.hash = x.tree_hash JOIN projects p ON p.id = x.project_id
                        \(kind == "file" ? "WHERE x.dataset IS NULL" : "")
                        GROUP BY p.name ORDER BY p.name
                        """
                ).map {
                    StorageRow(project: $0["project"], kind: kind, count: $0["count"], byteCount: $0["bytes"])
                }
            }
        }
    }

    /// Trees that are registered.
    package func liveTrees() async throws -> Set<String> {
        try await read { db in try String.fetchSet(db, sql: "SELECT hash FROM trees") }
    }

    /// Job id → name of its project.
    package func projectsOfJobs() async throws -> [String: String] {
        try await read { db in
            let rows = try Row.fetchAll(
                db, sql: "SELECT j.id, p.name FROM jobs j JOIN projects p ON p.id = j.project_id")
            return Dictionary(rows.map { ($0["id"] as String, $0["name"] as String) }, uniquingKeysWith: { $1 })
        }
    }
}
