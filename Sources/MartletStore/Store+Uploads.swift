import Foundation
import GRDB
import MartletWire

extension Store {
    package func insert(_ upload: UploadInfo, projectID: String) async throws {
        try await execute(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                upload.id, projectID, upload.filename, upload.purpose.rawValue, upload.mimeType, upload.byteCount,
                upload.createdAt.timeIntervalSince1970, upload.expiresAt.timeIntervalSince1970,
                upload.status.rawValue, upload.fileSeconds, upload.fileID,
            ])
    }

    /// Nil where the project has no such upload; `projectID` nil looks everywhere.
    package func upload(_ id: String, projectID: String?) async throws -> UploadInfo? {
        try await first("SELECT * FROM uploads WHERE id = ?1 AND (?2 IS NULL OR project_id = ?2)", [id, projectID]) {
            row in
            UploadInfo(
                id: row["id"], filename: row["filename"],
                purpose: FilePurpose(rawValue: row["purpose"]) ?? .userData, mimeType: row["mime_type"],
                byteCount: row["bytes"], createdAt: row.date("created_at"), expiresAt: row.date("expires_at"),
                status: UploadInfo.Status(rawValue: row["status"]) ?? .expired, fileSeconds: row["file_seconds"],
                fileID: row["file_id"])
        }
    }

    package func pendingUploadCount(projectID: String) async throws -> Int {
        try await read { db in
            try Int.fetchOne(
                db, sql: "SELECT COUNT(*) FROM uploads WHERE project_id = ? AND status = 'pending'",
                arguments: [projectID]) ?? 0
        }
    }

    /// Adds a part to an upload; false where that is not pending any more, or where its parts would have more than
    /// twice its bytes (a part may come twice, after a connection broke).
    package func insert(_ part: UploadPartInfo) async throws -> Bool {
        try await execute(
            """
            INSERT INTO upload_parts SELECT ?1, ?2, ?3, ?4, ?5 FROM uploads u WHERE id = ?2
            AND status = 'pending' AND ?4 + (SELECT COALESCE(SUM(p.bytes), 0) FROM upload_parts p
                WHERE p.upload_id = ?2) <= 2 * u.bytes
            """,
            [
                part.id, part.uploadID, part.hash, part.byteCount, part.createdAt.timeIntervalSince1970,
            ])
    }

    package func parts(ofUpload id: String) async throws -> [UploadPartInfo] {
        try await all("SELECT * FROM upload_parts WHERE upload_id = ? ORDER BY created_at, id", [id]) {
            UploadPartInfo(
                id: $0["id"], uploadID: $0["upload_id"], hash: $0["blob_hash"], byteCount: $0["bytes"],
                createdAt: $0.date("created_at"))
        }
    }

    /// Ends a pending upload with its file, in one transaction; nil where it was not pending any more.
    package func complete(
        upload id: String, file: FileInfo, tree: Tree, asDataset name: String?, projectID: String
    ) async throws -> (file: FileInfo, isNewDataset: Bool)? {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE uploads SET status = 'completed', file_id = ?2 WHERE id = ?1 AND project_id = ?3
                    AND status = 'pending'
                    """, arguments: [id, file.id, projectID])
            guard db.changesCount > 0 else { return nil }
            let registered = try Self.insert(file, tree: tree, asDataset: name, projectID: projectID, in: db)
            try db.execute(sql: "DELETE FROM upload_parts WHERE upload_id = ?", arguments: [id])
            return registered
        }
    }

    /// Gives a pending upload up; false where it was not pending any more.
    package func cancel(upload id: String, projectID: String) async throws -> Bool {
        try await write { db in
            try db.execute(
                sql: "UPDATE uploads SET status = 'cancelled' WHERE id = ? AND project_id = ? AND status = 'pending'",
                arguments: [id, projectID])
            guard db.changesCount > 0 else { return false }
            try db.execute(sql: "DELETE FROM upload_parts WHERE upload_id = ?", arguments: [id])
            return true
        }
    }

    /// Ends pending uploads whose time is over. What ended long ago is forgotten.
    package func expireUploads(at date: Date) async throws {
        try await write { db in
            let now = date.timeIntervalSince1970
            try db.execute(
                sql: "UPDATE uploads SET status = 'expired' WHERE status = 'pending' AND expires_at <= ?",
                arguments: [now])
            try db.execute(
                sql: """
                    DELETE FROM upload_parts WHERE upload_id IN (SELECT id FROM uploads WHERE status = 'expired')
                    """)
            try db.execute(
                sql: "DELETE FROM uploads WHERE status != 'pending' AND created_at <= ?", arguments: [now - 30 * 86_400]
            )
        }
    }
}
