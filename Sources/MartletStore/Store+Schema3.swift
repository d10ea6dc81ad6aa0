extension Store {
    /// Files, uploads in parts, and what fine-tuning leaves.
    static let schema3 = """
        CREATE TABLE files (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), filename TEXT NOT NULL, purpose TEXT NOT NULL,
            bytes INTEGER NOT NULL, created_at REAL NOT NULL, expires_at REAL,
            tree_hash TEXT NOT NULL REFERENCES trees(hash), dataset TEXT, job_id TEXT
        ) STRICT;
        CREATE INDEX files_project ON files(project_id, sequence);
        CREATE INDEX files_job ON files(job_id);
        CREATE TABLE uploads (
            id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES projects(id), filename TEXT NOT NULL,
            purpose TEXT NOT NULL, mime_type TEXT NOT NULL, bytes INTEGER NOT NULL, created_at REAL NOT NULL,
            expires_at REAL NOT NULL, status TEXT NOT NULL, file_seconds INTEGER, file_id TEXT
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE upload_parts (
            id TEXT PRIMARY KEY, upload_id TEXT NOT NULL REFERENCES uploads(id) ON DELETE CASCADE,
            blob_hash TEXT NOT NULL, bytes INTEGER NOT NULL, created_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX upload_parts_upload ON upload_parts(upload_id);
        -- Second names of a model's version: ft:base:org:suffix:id and its checkpoints'. They go with the version.
        CREATE TABLE model_aliases (
            project_id TEXT NOT NULL, alias TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
            created_at REAL NOT NULL, PRIMARY KEY (project_id, alias),
            FOREIGN KEY (project_id, name, version) REFERENCES models(project_id, name, version) ON DELETE CASCADE
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX model_aliases_model ON model_aliases(project_id, name, version);
        CREATE TABLE tuned_checkpoints (
            id TEXT PRIMARY KEY, job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, step INTEGER NOT NULL,
            model TEXT NOT NULL, alias TEXT NOT NULL, metrics TEXT NOT NULL, created_at REAL NOT NULL,
            UNIQUE (job_id, step)
        ) STRICT, WITHOUT ROWID;
        """
}
