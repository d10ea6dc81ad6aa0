import Foundation
import GRDB
import MartletWire

extension Store {
    /// Both limits nil takes the project's budget away.
    package func setBudget(_ limit: BudgetInfo.Amount, projectID: String, at date: Date) async throws {
        try await write { db in
            guard limit != .init() else {
                return try db.execute(sql: "DELETE FROM budgets WHERE project_id = ?", arguments: [projectID])
            }
            try db.execute(
                sql: "INSERT OR REPLACE INTO budgets VALUES (?, ?, ?, ?)",
                arguments: [projectID, limit.cpuSeconds, limit.tokens, date.timeIntervalSince1970])
        }
    }

    /// Projects that have a budget, by id, with what they used since `since`.
    package func budgets(since: Date) async throws -> [(projectID: String, budget: BudgetInfo)] {
        try await read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT b.*, p.name FROM budgets b JOIN projects p ON p.id = b.project_id ORDER BY p.name
                    """
            ).map { row in
                let projectID: String = row["project_id"]
                return (
                    projectID,
                    BudgetInfo(
                        project: row["name"], since: since,
                        limit: .init(cpuSeconds: row["cpu_seconds"], tokens: row["tokens"]),
                        used: try Self.used(since: since, projectID: projectID, in: db))
                )
            }
        }
    }

    /// What a project used since `since`, of everything that the ledger counts.
    package func used(since: Date, projectID: String) async throws -> BudgetInfo.Amount {
        try await read { db in try Self.used(since: since, projectID: projectID, in: db) }
    }

    private static func used(since: Date, projectID: String, in db: Database) throws -> BudgetInfo.Amount {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT COALESCE(SUM(cpu_seconds), 0.0) AS cpu, TOTAL(prompt_tokens) + TOTAL(completion_tokens) AS tokens
                FROM usage WHERE project_id = ? AND hour >= ?
                """, arguments: [projectID, since.timeIntervalSince1970])
        let tokens: Double = row?["tokens"] ?? 0
        return .init(cpuSeconds: row?["cpu"] ?? 0, tokens: Int(exactly: tokens) ?? .max)
    }

    // MARK: What jobs are charged while they run

    /// Adds to the ledger and to what the job was charged, in one transaction.
    package func charge(_ usage: UsageRow, toJob id: String) async throws {
        try await write { db in
            try db.execute(
                sql: "UPDATE jobs SET cpu_seconds = cpu_seconds + ? WHERE id = ?", arguments: [usage.cpuSeconds, id])
            try Self.add([usage], in: db)
        }
    }

    /// What a job was charged before it was over; the rest of what it says is added then.
    static func charged(job id: String, in db: Database) throws -> Double {
        try Double.fetchOne(db, sql: "SELECT cpu_seconds FROM jobs WHERE id = ?", arguments: [id]) ?? 0
    }
}
