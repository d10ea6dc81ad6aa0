import Foundation
import GRDB
import MartletWire

/// A sorted list of files with the hash of that list: what a dataset or a model consists of.
package struct Tree: Sendable, Equatable {
    package let hash: String
    package let files: [TreeFile]
    package var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }

    /// Checks the names and hashes. Throws `invalidRequest`.
    package init(files: [TreeFile]) throws {
        try RelativePath.check(files.map(\.path))
        for file in files where !ContentHash.isValid(file.hash) {
            throw MartletError(.invalidRequest, "the file '\(file.path)' has no valid SHA-256; send it again")
        }
        let sorted = files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        self.files = sorted
        let list = sorted.map { "\($0.path)\0\($0.hash)\0\($0.byteCount)\n" }.joined()
        hash = ContentHash.of(list)
    }
}

extension Store {
    static func insert(_ tree: Tree, at date: Date, in db: Database) throws {
        try db.execute(
            sql: "INSERT OR IGNORE INTO trees (hash, bytes, created_at) VALUES (?, ?, ?)",
            arguments: [tree.hash, tree.byteCount, date.timeIntervalSince1970])
        guard db.changesCount > 0 else { return }
        for file in tree.files {
            try db.execute(
                sql: "INSERT INTO tree_files (tree_hash, path, blob_hash, bytes) VALUES (?, ?, ?, ?)",
                arguments: [tree.hash, file.path, file.hash, file.byteCount])
        }
    }

    static func files(of treeHash: String, in db: Database) throws -> [TreeFile] {
        try Row.fetchAll(
            db, sql: "SELECT path, blob_hash, bytes FROM tree_files WHERE tree_hash = ? ORDER BY path",
            arguments: [treeHash]
        ).map { TreeFile(path: $0["path"], hash: $0["blob_hash"], byteCount: $0["bytes"]) }
    }

    /// Registers files that only a job will read; the next collection removes them once it is over.
    package func insertTree(_ tree: Tree, at date: Date) async throws {
        try await write { db in try Self.insert(tree, at: date, in: db) }
    }

    package func files(ofTree hash: String) async throws -> [TreeFile] {
        try await read { db in try Self.files(of: hash, in: db) }
    }

    static func nextVersion(of name: String, kind: String, projectID: String, in db: Database) throws -> Int {
        let version = try Int.fetchOne(
            db,
            sql: """
                INSERT INTO versions (project_id, kind, name, last) VALUES (?, ?, ?, 1)
                ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last
                """, arguments: [projectID, kind, name])
        return version ?? 1
    }

    /// Forgets trees that no dataset, model, file, unfinished batch or job refers to; their hashes.
    package func removeUnreferencedTrees(dryRun: Bool) async throws -> [String] {
        try await write { db in
            let hashes = try String.fetchAll(
                db,
                sql: """
                    SELECT hash FROM trees WHERE hash NOT IN (SELECT tree_hash FROM datasets)
                    AND hash NOT IN (SELECT tree_hash FROM models) AND hash NOT IN (SELECT tree_hash FROM files)
                    AND hash NOT IN (SELECT i.tree_hash FROM job_inputs i JOIN jobs j ON j.id = i.job_id
                        WHERE j.state NOT IN ('succeeded', 'failed', 'cancelled'))
                    AND hash NOT IN (SELECT tree_hash FROM batches
                        WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling'))
                    """)
            if !dryRun {
                for hash in hashes { try db.execute(sql: "DELETE FROM trees WHERE hash = ?", arguments: [hash]) }
            }
            return hashes
        }
    }

    /// Blobs that some tree other than those in `excluding` lists, or that are parts of an upload.
    package func referencedBlobs(excluding trees: [String]) async throws -> Set<String> {
        try await read { db in
            let excluded = Set(trees)
            var blobs: Set<String> = []
            let rows = try Row.fetchCursor(db, sql: "SELECT tree_hash, blob_hash FROM tree_files")
            while let row = try rows.next() {
                if !excluded.contains(row["tree_hash"]) { blobs.insert(row["blob_hash"]) }
            }
            return blobs.union(try String.fetchSet(db, sql: "SELECT blob_hash FROM upload_parts"))
        }
    }
}
