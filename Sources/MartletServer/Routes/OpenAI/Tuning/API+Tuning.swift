import Foundation
import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    /// `/v1/fine_tuning`.
    var tuningRoutes: [Route] {
        let base = "/v1/fine_tuning/jobs"
        return [
            Route(.post, base, .developers, "Train a language model further.") { call in
                try call.checkQuery()
                let by = try call.caller()
                let job = try await platform.tuning.create(
                    TuningFields.read(await call.json()), idempotencyKey: call.header(.idempotencyKey),
                    retryCount: call.retryCount(), by: by)
                return .document(TuningAnswer.document(job, by))
            },
            Route(.get, base, .developers, "List fine-tuning jobs, the newest first.") { call in
                let filter = try MetadataFilter(call, besides: ["after", "limit"])
                let by = try call.caller()
                let (jobs, hasMore) = try await platform.tuning.list(
                    after: call.query("after"), limit: call.queryNumber("limit", in: 1...100) ?? 20,
                    metadata: filter.pairs, withoutMetadata: filter.isNull, by: by)
                return .list(jobs.map { ($0.info.id, TuningAnswer.document($0, by)) }, hasMore: hasMore)
            },
            Route(.get, base + "/{job}", .developers, "Show a fine-tuning job.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("job")
                return try await .document(TuningAnswer.document(platform.tuning.show(id, by: by), by))
            },
            Route(.get, base + "/{job}/events", .developers, "A fine-tuning job's events, the newest first.") { call in
                try call.checkQuery("after", "limit")
                let (id, by) = try call.of("job")
                let before = try call.query("after").map { try TuningAnswer.sequence(ofEvent: $0, jobID: id) }
                let page = try await platform.tuning.events(
                    of: id, before: before, limit: call.queryNumber("limit", in: 1...100) ?? 20, by: by)
                return .list(
                    page.data.map { (TuningAnswer.eventID($0, jobID: id), TuningAnswer.document($0, jobID: id)) },
                    hasMore: page.hasMore)
            },
            Route(.get, base + "/{job}/checkpoints", .developers, "A fine-tuning job's checkpoints that answer.") {
                call in
                try call.checkQuery("after", "limit")
                let (id, by) = try call.of("job")
                let page = try await platform.tuning.checkpoints(
                    of: id, after: call.query("after"), limit: call.queryNumber("limit", in: 1...100) ?? 10, by: by)
                return .list(page.data.map { ($0.id, TuningAnswer.document($0)) }, hasMore: page.hasMore)
            },
            steer(base, "cancel", "Stop a fine-tuning job for good; its checkpoints stay.") {
                try await $0.cancel($1, by: $2)
            },
            steer(base, "pause", "Stop a fine-tuning job at a checkpoint.") { try await $0.pause($1, by: $2) },
            steer(base, "resume", "Go on with a paused fine-tuning job.") { try await $0.resume($1, by: $2) },
        ]
    }

    private func steer(
        _ base: String, _ verb: String, _ summary: String,
        _ action: @escaping @Sendable (TuningService, String, Principal) async throws -> TuningJob
    ) -> Route {
        Route(.post, "\(base)/{job}/\(verb)", .developers, summary) { call in
            try call.checkQuery()
            try await call.checkNoBody()
            let (id, by) = try call.of("job")
            return try await .document(TuningAnswer.document(action(platform.tuning, id, by), by))
        }
    }
}

/// `metadata[key]=value`, any number of them, or `metadata=null`, in a query.
struct MetadataFilter {
    private(set) var pairs: [String: String] = [:]
    private(set) var isNull = false

    /// Refuses other parameters than these and those in `besides`. Throws `invalidRequest`.
    init(_ call: Call, besides known: [String]) throws {
        for item in (call.request.uri.query ?? "").split(separator: "&") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = Self.decoded(parts[0])
            let value = parts.count > 1 ? Self.decoded(parts[1]) : ""
            if known.contains(name) { continue }
            if name == "metadata", value == "null" {
                isNull = true
            } else if name.hasPrefix("metadata["), name.hasSuffix("]"), name.count > 10 {
                pairs[String(name.dropFirst(9).dropLast())] = value
            } else {
                throw MartletError(
                    .invalidRequest,
                    "'\(name.prefix(60))' is not a query parameter here; known are "
                        + (known + ["metadata[key]"]).joined(separator: ", "), param: String(name.prefix(60)))
            }
        }
        guard !isNull || pairs.isEmpty else {
            throw MartletError(
                .invalidRequest, "'metadata=null' stands beside 'metadata[…]'; give one of them", param: "metadata")
        }
    }

    private static func decoded(_ text: Substring) -> String {
        let spaced = text.replacingOccurrences(of: "+", with: " ")
        return spaced.removingPercentEncoding ?? spaced
    }
}
