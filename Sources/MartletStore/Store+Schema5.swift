extension Store {
    /// Budgets, gates that wait for their eval's run, and what a job was charged so far.
    static let schema5 = """
        CREATE TABLE budgets (
            project_id TEXT PRIMARY KEY REFERENCES projects(id), cpu_seconds REAL, tokens INTEGER, updated_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID;
        -- A model that takes over a deployment once a run has passed. The row goes with the decision.
        CREATE TABLE gates (
            project_id TEXT NOT NULL REFERENCES projects(id), name TEXT NOT NULL, model TEXT NOT NULL, replicas INTEGER,
            eval_id TEXT NOT NULL, run_id TEXT NOT NULL, key_id TEXT NOT NULL, created_at REAL NOT NULL,
            PRIMARY KEY (project_id, name)
        ) STRICT, WITHOUT ROWID;
        ALTER TABLE jobs ADD COLUMN cpu_seconds REAL NOT NULL DEFAULT 0;
        CREATE INDEX usage_project ON usage(project_id, hour);
        """
}
