import GRDB
import MartletWire

/// What models said to a training job's graders. An answer stands here until its job has it in its own folder: it was
/// paid for, and whatever dies meanwhile, it is neither asked for nor paid for again. They go with the job's end.
extension Store {
    /// Answers by their questions' hashes, those among `questions`; all others of the job are forgotten.
    package func graderAnswers(ofJob id: String, keeping questions: [String]) async throws -> [String: String] {
        try await write { db in
            let wanted = Set(questions)
            var answers: [String: String] = [:]
            for row in try Row.fetchAll(
                db, sql: "SELECT question, answer FROM grader_answers WHERE job_id = ?", arguments: [id])
            {
                let question: String = row["question"]
                if wanted.contains(question) {
                    answers[question] = row["answer"]
                } else {
                    try db.execute(
                        sql: "DELETE FROM grader_answers WHERE job_id = ? AND question = ?", arguments: [id, question])
                }
            }
            return answers
        }
    }

    /// Keeps an answer and what it used in one transaction, and gives the answer that counts: the one that was there
    /// before, which then is not paid for again, or this one.
    package func keep(
        graderAnswer answer: String, to question: String, ofJob id: String, usage: [UsageRow]
    ) async throws -> String {
        try await write { db in
            if let known = try String.fetchOne(
                db, sql: "SELECT answer FROM grader_answers WHERE job_id = ? AND question = ?",
                arguments: [id, question])
            {
                return known
            }
            try db.execute(
                sql: """
                    INSERT INTO grader_answers (job_id, question, answer) SELECT id, ?2, ?3 FROM jobs
                    WHERE id = ?1 AND state NOT IN ('succeeded', 'failed', 'cancelled')
                    """, arguments: [id, question, answer])
            try Self.add(usage, in: db)
            return answer
        }
    }
}
