extension Store {
    /// The events of streamed background responses, and answers of graders' models that their jobs may not have kept yet.
    static let schema7 = """
        ALTER TABLE background_responses ADD COLUMN restarts INTEGER NOT NULL DEFAULT 0;
        CREATE TABLE response_events (
            response_id TEXT PRIMARY KEY REFERENCES responses(id) ON DELETE CASCADE, events TEXT
        ) STRICT;
        CREATE TABLE grader_answers (
            job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, question TEXT NOT NULL, answer TEXT NOT NULL,
            PRIMARY KEY (job_id, question)
        ) STRICT;
        CREATE TRIGGER grader_answers_end AFTER UPDATE OF state ON jobs
        WHEN NEW.state IN ('succeeded', 'failed', 'cancelled')
        BEGIN DELETE FROM grader_answers WHERE job_id = NEW.id; END;
        """
}
