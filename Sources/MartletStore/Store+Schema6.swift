extension Store {
    /// Responses that are worked out in the background. The row goes when the response is over.
    static let schema6 = """
        CREATE TABLE background_responses (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            project_id TEXT NOT NULL REFERENCES projects(id), key_id TEXT NOT NULL, created_at REAL NOT NULL,
            request TEXT NOT NULL
        ) STRICT;
        """
}
