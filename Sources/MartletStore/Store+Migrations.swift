import Foundation
import GRDB
import MartletWire

extension Store {
    static func migrate(_ queue: DatabaseQueue, path: String) throws {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in try db.execute(sql: schema1) }
        migrator.registerMigration("2") { db in try db.execute(sql: schema2) }
        migrator.registerMigration("3") { db in try db.execute(sql: schema3) }
        migrator.registerMigration("4") { db in try db.execute(sql: schema4) }
        migrator.registerMigration("5") { db in try db.execute(sql: schema5) }
        migrator.registerMigration("6") { db in try db.execute(sql: schema6) }
        migrator.registerMigration("7") { db in try db.execute(sql: schema7) }

        let (isNewer, applied, isComplete) = try queue.read { db in
            (
                try migrator.hasBeenSuperseded(db), try migrator.appliedIdentifiers(db),
                try migrator.hasCompletedMigrations(db)
            )
        }
        guard !isNewer else {
            throw MartletError(
                .conflict,
                "this home was written by a newer Martlet (its database has the schemas "
                    + "\(applied.sorted().joined(separator: ", ")); this one knows \(migrator.migrations.last ?? "none"));"
                    + " install the newer version, or use another --home")
        }
        guard !isComplete else { return }
        if !applied.isEmpty { try backUp(queue, to: "\(path).before-schema-\(migrator.migrations.last ?? "1")") }
        try migrator.migrate(queue)
    }

    /// A copy that survives a migration that goes wrong.
    private static func backUp(_ queue: DatabaseQueue, to path: String) throws {
        try? FileManager.default.removeItem(atPath: path)
        try queue.writeWithoutTransaction { db in try db.execute(sql: "VACUUM INTO ?", arguments: [path]) }
    }

    private static let schema1 = """
        CREATE TABLE projects (
            id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at REAL NOT NULL
        ) STRICT;
        CREATE TABLE keys (
            id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL,
            role TEXT NOT NULL, prefix TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
            expires_at REAL, revoked_at REAL
        ) STRICT;
        CREATE TABLE trees (
            hash TEXT PRIMARY KEY, bytes INTEGER NOT NULL, created_at REAL NOT NULL
        ) STRICT;
        CREATE TABLE tree_files (
            tree_hash TEXT NOT NULL REFERENCES trees(hash) ON DELETE CASCADE, path TEXT NOT NULL,
            blob_hash TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (tree_hash, path)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX tree_files_blob ON tree_files(blob_hash);
        -- The last version given to a name, so that a deleted version's number never means something else.
        CREATE TABLE versions (
            project_id TEXT NOT NULL REFERENCES projects(id), kind TEXT NOT NULL, name TEXT NOT NULL,
            last INTEGER NOT NULL, PRIMARY KEY (project_id, kind, name)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE datasets (
            project_id TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, version INTEGER NOT NULL,
            tree_hash TEXT NOT NULL REFERENCES trees(hash), created_at REAL NOT NULL, profile_job TEXT, profile TEXT,
            PRIMARY KEY (project_id, name, version)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE jobs (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), key_id TEXT NOT NULL, kind TEXT NOT NULL,
            name TEXT NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL, started_at REAL, finished_at REAL,
            attempts INTEGER NOT NULL DEFAULT 0, request TEXT NOT NULL, error TEXT, model TEXT, deployment TEXT,
            result TEXT, token_hash TEXT, pid INTEGER, process_start INTEGER
        ) STRICT;
        CREATE INDEX jobs_project ON jobs(project_id, sequence);
        CREATE INDEX jobs_state ON jobs(state);
        -- What a job reads: the dataset or model, as its request names it and as it was resolved.
        CREATE TABLE job_inputs (
            job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, kind TEXT NOT NULL, reference TEXT NOT NULL,
            name TEXT NOT NULL, version INTEGER NOT NULL, tree_hash TEXT NOT NULL,
            PRIMARY KEY (job_id, kind, reference)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE job_events (
            job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, sequence INTEGER NOT NULL, key TEXT NOT NULL,
            created_at REAL NOT NULL, event TEXT NOT NULL, PRIMARY KEY (job_id, sequence), UNIQUE (job_id, key)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE idempotency (
            project_id TEXT NOT NULL REFERENCES projects(id), key TEXT NOT NULL, body_hash TEXT NOT NULL,
            job_id TEXT NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (project_id, key)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE models (
            project_id TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, version INTEGER NOT NULL,
            tree_hash TEXT NOT NULL REFERENCES trees(hash), created_at REAL NOT NULL, job_id TEXT,
            card TEXT NOT NULL, signature TEXT NOT NULL, PRIMARY KEY (project_id, name, version)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE deployments (
            project_id TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, model TEXT NOT NULL,
            previous_model TEXT, next_model TEXT, error TEXT, replicas INTEGER NOT NULL, created_at REAL NOT NULL,
            updated_at REAL NOT NULL, PRIMARY KEY (project_id, name)
        ) STRICT, WITHOUT ROWID;
        -- Replica processes that were started, so that the next serve can end those that outlived this one.
        CREATE TABLE processes (
            pid INTEGER NOT NULL, start INTEGER NOT NULL, PRIMARY KEY (pid, start)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE usage (
            hour REAL NOT NULL, project_id TEXT NOT NULL, key_id TEXT NOT NULL, kind TEXT NOT NULL,
            resource TEXT NOT NULL, requests INTEGER NOT NULL, rows INTEGER NOT NULL, cpu_seconds REAL NOT NULL,
            PRIMARY KEY (hour, project_id, key_id, kind, resource)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, project TEXT NOT NULL, key TEXT NOT NULL,
            action TEXT NOT NULL, resource TEXT NOT NULL, outcome TEXT NOT NULL, previous_hash TEXT NOT NULL,
            hash TEXT NOT NULL
        ) STRICT;
        """

    private static let schema2 = """
        ALTER TABLE usage ADD COLUMN prompt_tokens INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE usage ADD COLUMN completion_tokens INTEGER NOT NULL DEFAULT 0;
        -- Answers of language models that were asked to be kept, with the conversation that led to them.
        CREATE TABLE responses (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), created_at REAL NOT NULL, body TEXT NOT NULL,
            input TEXT NOT NULL, conversation TEXT NOT NULL
        ) STRICT;
        CREATE INDEX responses_project ON responses(project_id, sequence);
        """
}
