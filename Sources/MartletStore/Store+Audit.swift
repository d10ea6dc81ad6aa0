import Foundation
import GRDB
import MartletWire

/// What a walk over the audit log found.
public struct AuditVerification: Codable, Sendable, Equatable {
    public var rowCount: Int
    /// The first row that does not fit its predecessor; nil where the chain is whole.
    public var firstBadSequence: Int?
    public var isWhole: Bool { firstBadSequence == nil }
    public init(rowCount: Int, firstBadSequence: Int? = nil) {
        self.rowCount = rowCount
        self.firstBadSequence = firstBadSequence
    }
    enum CodingKeys: String, CodingKey { case rowCount = "rows", firstBadSequence = "first_bad_sequence" }
}

extension Store {
    private static let firstHash = String(repeating: "0", count: 64)

    package func appendAudit(
        time: Date, project: String, key: String, action: String, resource: String, outcome: String
    ) async throws {
        try await write { db in
            let last = try Row.fetchOne(db, sql: "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")
            let previous: String = last?["hash"] ?? Self.firstHash
            let sequence: Int = (last?["sequence"] ?? 0) + 1
            let stamp = time.formatted(.iso8601)
            let hash = Self.auditHash([String(sequence), stamp, project, key, action, resource, outcome, previous])
            try db.execute(
                sql: "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                arguments: [sequence, stamp, project, key, action, resource, outcome, previous, hash])
        }
    }

    package func audit(project: String?, before: Int?, limit: Int) async throws -> [AuditRow] {
        try await all(
            """
            SELECT * FROM audit WHERE (?1 IS NULL OR project = ?1) AND (?2 IS NULL OR sequence < ?2)
            ORDER BY sequence DESC LIMIT ?3
            """, [project, before, limit]
        ) { row in
            AuditRow(
                sequence: row["sequence"],
                time: (try? Date(row["time"] as String, strategy: .iso8601)) ?? Date(timeIntervalSince1970: 0),
                project: row["project"], key: row["key"], action: row["action"], resource: row["resource"],
                outcome: row["outcome"], previousHash: row["previous_hash"], hash: row["hash"])
        }
    }

    /// Walks the chain page by page, so that others get the database in between; `betweenPages` runs there.
    package func verifyAudit(
        pageRows: Int = 500, betweenPages: @Sendable () async throws -> Void = {}
    ) async throws -> AuditVerification {
        var previous = Self.firstHash
        var count = 0
        var next = Int.min
        while true {
            let first = next
            let (links, given) = try await read { db in
                let rows = try Row.fetchAll(
                    db, sql: "SELECT * FROM audit WHERE sequence >= ? ORDER BY sequence LIMIT ?",
                    arguments: [first, pageRows])
                // AUTOINCREMENT remembers the last number given, so rows cut from the end show too.
                let given = try Int.fetchOne(db, sql: "SELECT seq FROM sqlite_sequence WHERE name = 'audit'") ?? 0
                return (rows.map(AuditLink.init), given)
            }
            for link in links {
                count += 1
                guard link.sequence == count, link.previous == previous, Self.auditHash(link.fields) == link.hash else {
                    return AuditVerification(rowCount: count, firstBadSequence: count)
                }
                previous = link.hash
            }
            next = count + 1
            if links.count < pageRows {
                return AuditVerification(rowCount: count, firstBadSequence: given > count ? count + 1 : nil)
            }
            try await betweenPages()
        }
    }

    /// Fields by length, so that no two different rows give the same bytes.
    private static func auditHash(_ fields: [String]) -> String {
        ContentHash.of(fields.map { "\($0.utf8.count):\($0)" }.joined())
    }
}

/// A row as its hash was made of it.
private struct AuditLink: Sendable {
    var sequence: Int
    var fields: [String]
    var previous: String
    var hash: String

    init(_ row: Row) {
        sequence = row["sequence"]
        previous = row["previous_hash"]
        hash = row["hash"]
        fields = [
            String(sequence), row["time"], row["project"], row["key"], row["action"], row["resource"], row["outcome"],
            previous,
        ]
    }
}
