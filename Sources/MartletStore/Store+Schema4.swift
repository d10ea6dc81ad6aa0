extension Store {
    /// Batches, evals, chat completions that were asked to be kept, and what webhooks still have to say.
    static let schema4 = """
        CREATE TABLE chat_completions (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), created_at REAL NOT NULL, model TEXT NOT NULL,
            metadata TEXT NOT NULL, body TEXT NOT NULL, messages TEXT NOT NULL
        ) STRICT;
        CREATE INDEX chat_completions_project ON chat_completions(project_id, sequence);
        CREATE TABLE batches (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), key_id TEXT NOT NULL, state TEXT NOT NULL,
            created_at REAL NOT NULL, tree_hash TEXT NOT NULL, info TEXT NOT NULL
        ) STRICT;
        CREATE INDEX batches_project ON batches(project_id, sequence);
        CREATE INDEX batches_state ON batches(state);
        -- Where a line stands in the input file, and what came of it. Rows go once the files are written.
        CREATE TABLE batch_lines (
            batch_id TEXT NOT NULL REFERENCES batches(id) ON DELETE CASCADE, line INTEGER NOT NULL,
            custom_id TEXT NOT NULL, place INTEGER NOT NULL, bytes INTEGER NOT NULL,
            state TEXT NOT NULL DEFAULT 'waiting', result TEXT, input_tokens INTEGER NOT NULL DEFAULT 0,
            cached_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
            UNIQUE (batch_id, line)
        ) STRICT;
        CREATE INDEX batch_lines_state ON batch_lines(batch_id, state, line);
        CREATE TABLE evals (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), created_at REAL NOT NULL, updated_at REAL NOT NULL,
            info TEXT NOT NULL
        ) STRICT;
        CREATE INDEX evals_project ON evals(project_id, sequence);
        CREATE TABLE eval_runs (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            eval_id TEXT NOT NULL REFERENCES evals(id) ON DELETE CASCADE,
            project_id TEXT NOT NULL REFERENCES projects(id), key_id TEXT NOT NULL, state TEXT NOT NULL,
            created_at REAL NOT NULL, info TEXT NOT NULL
        ) STRICT;
        CREATE INDEX eval_runs_eval ON eval_runs(eval_id, sequence);
        CREATE INDEX eval_runs_state ON eval_runs(state);
        CREATE TABLE eval_items (
            run_id TEXT NOT NULL REFERENCES eval_runs(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            id TEXT NOT NULL UNIQUE, source TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'waiting', result TEXT,
            created_at REAL, UNIQUE (run_id, number)
        ) STRICT;
        CREATE INDEX eval_items_state ON eval_items(run_id, state, number);
        -- What ended and was not told yet; what is on its way to one endpoint.
        CREATE TABLE webhook_events (
            id INTEGER PRIMARY KEY AUTOINCREMENT, project_id TEXT NOT NULL, type TEXT NOT NULL, object_id TEXT NOT NULL,
            created_at REAL NOT NULL
        ) STRICT;
        CREATE TABLE webhook_deliveries (
            id TEXT NOT NULL, url TEXT NOT NULL, body TEXT NOT NULL, created_at REAL NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, PRIMARY KEY (id, url)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX webhook_deliveries_next ON webhook_deliveries(next_at);
        -- In the transaction that ends a thing, so that no end is lost or told twice.
        CREATE TRIGGER jobs_webhook AFTER UPDATE OF state ON jobs
        WHEN NEW.kind = 'fine_tune' AND NEW.state != OLD.state AND NEW.state IN ('succeeded', 'failed', 'cancelled')
        BEGIN
            INSERT INTO webhook_events (project_id, type, object_id, created_at)
            VALUES (NEW.project_id, 'fine_tuning.job.' || NEW.state, NEW.id, COALESCE(NEW.finished_at, NEW.created_at));
        END;
        CREATE TRIGGER batches_webhook AFTER UPDATE OF state ON batches
        WHEN NEW.state != OLD.state AND NEW.state IN ('completed', 'failed', 'expired', 'cancelled')
        BEGIN
            INSERT INTO webhook_events (project_id, type, object_id, created_at)
            VALUES (NEW.project_id, 'batch.' || NEW.state, NEW.id, CAST(strftime('%s', 'now') AS REAL));
        END;
        CREATE TRIGGER eval_runs_webhook AFTER UPDATE OF state ON eval_runs
        WHEN NEW.state != OLD.state AND NEW.state IN ('completed', 'failed', 'canceled')
        BEGIN
            INSERT INTO webhook_events (project_id, type, object_id, created_at)
            VALUES (NEW.project_id,
                'eval.run.' || CASE NEW.state WHEN 'completed' THEN 'succeeded' ELSE NEW.state END, NEW.id,
                CAST(strftime('%s', 'now') AS REAL));
        END;
        """
}
