import Foundation
import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    private struct Collection: Decodable {
        var dryRun: Bool
        enum CodingKeys: String, CodingKey { case dryRun = "dry_run" }
    }

    /// `/api/v1/usage`, `/audit`, `/gc` and `/config`.
    var accountingRoutes: [Route] {
        [
            Route(.get, "/api/v1/usage", .roles([.admin, .developer, .auditor]), "What was used, by the hour.") {
                call in
                try call.checkQuery("from", "to")
                let rows = try await platform.ledger.usage(
                    from: call.queryTime("from"), to: call.queryTime("to"), by: call.caller())
                return try .json(Page(data: rows))
            },
            Route(.get, "/api/v1/audit", .auditors, "Who did what, the newest first.") { call in
                try call.checkQuery("before", "limit")
                let before = try call.queryNumber("before", in: 0...Int(Int32.max))
                let limit = try call.queryNumber("limit", in: 1...1000) ?? 100
                return try await .json(platform.audit.list(before: before, limit: limit, by: call.caller()))
            },
            Route(.get, "/api/v1/audit/verify", .auditors, "Check the chain of hashes.") { call in
                try call.checkQuery()
                return try await .json(platform.audit.verify(by: call.caller()))
            },
            Route(.post, "/api/v1/gc", .admins, "Remove what nothing refers to: {dry_run}.") { call in
                let collection = try await call.decode(Collection.self, fields: "dry_run")
                return try await .json(platform.garbage.collect(dryRun: collection.dryRun, by: call.caller()))
            },
            Route(.get, "/api/v1/config", .admins, "The configuration that this server runs with.") { call in
                try call.checkQuery()
                return try .json(platform.configuration)
            },
        ]
    }
}

extension Call {
    /// A time of the query, RFC 3339 or Unix seconds. Throws `invalidRequest`.
    func queryTime(_ name: String) throws -> Date? {
        guard let text = query(name) else { return nil }
        if let seconds = Double(text), seconds.isFinite, abs(seconds) < 1e11 {
            return Date(timeIntervalSince1970: seconds)
        }
        guard let date = try? Date(text, strategy: .iso8601) else {
            throw MartletError(
                .invalidRequest, "'\(name)' is '\(text.prefix(40))'; give a time such as 2026-01-31T12:00:00Z",
                param: name)
        }
        return date
    }
}
