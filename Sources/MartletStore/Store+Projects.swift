import Foundation
import GRDB
import MartletWire

extension Store {
    /// Throws `conflict` where the name is taken.
    package func insert(_ project: ProjectInfo) async throws {
        try await write { db in
            let taken = try Bool.fetchOne(
                db, sql: "SELECT EXISTS (SELECT 1 FROM projects WHERE name = ?)", arguments: [project.name])
            guard taken != true else {
                throw MartletError(.conflict, "a project named '\(project.name)' exists; choose another name")
            }
            try db.execute(
                sql: "INSERT INTO projects (id, name, created_at) VALUES (?, ?, ?)",
                arguments: [project.id, project.name, project.createdAt.timeIntervalSince1970])
        }
    }

    package func projects() async throws -> [ProjectInfo] {
        try await all("SELECT * FROM projects ORDER BY name", [], Self.project)
    }

    /// By name or id.
    package func project(_ nameOrID: String) async throws -> ProjectInfo? {
        try await first("SELECT * FROM projects WHERE name = ? OR id = ?", [nameOrID, nameOrID], Self.project)
    }

    private static func project(_ row: Row) -> ProjectInfo {
        ProjectInfo(id: row["id"], name: row["name"], createdAt: row.date("created_at"))
    }

    // MARK: Keys

    /// `hash` is of the whole key.
    package func insert(_ key: KeyInfo, projectID: String, hash: String) async throws {
        try await execute(
            """
            INSERT INTO keys (id, project_id, name, role, prefix, hash, created_at, expires_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """,
            [
                key.id, projectID, key.name, key.role.rawValue, key.prefix, hash,
                key.createdAt.timeIntervalSince1970, key.expiresAt?.timeIntervalSince1970,
            ])
    }

    /// A key with what authentication needs.
    package struct StoredKey: Sendable {
        package var info: KeyInfo
        package var projectID: String
        package var hash: String
    }

    package func key(id: String) async throws -> StoredKey? {
        try await first(Self.keyQuery + " WHERE k.id = ?", [id], Self.key)
    }

    /// Keys of one project, or of all.
    package func keys(projectID: String?) async throws -> [StoredKey] {
        try await all(
            Self.keyQuery + " WHERE ?1 IS NULL OR k.project_id = ?1 ORDER BY k.created_at, k.id", [projectID], Self.key)
    }

    package func revokeKey(id: String, at date: Date) async throws {
        try await execute(
            "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", [date.timeIntervalSince1970, id])
    }

    private static let keyQuery =
        "SELECT k.*, p.name AS project_name FROM keys k JOIN projects p ON p.id = k.project_id"

    private static func key(_ row: Row) -> StoredKey {
        StoredKey(
            info: KeyInfo(
                id: row["id"], name: row["name"], project: row["project_name"],
                role: Role(rawValue: row["role"]) ?? .auditor, prefix: row["prefix"],
                createdAt: row.date("created_at"), expiresAt: row.optionalDate("expires_at"),
                revokedAt: row.optionalDate("revoked_at")),
            projectID: row["project_id"], hash: row["hash"])
    }
}
