import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    /// `/api/v1/jobs`: submit, list, follow, steer.
    var jobRoutes: [Route] {
        let base = "/api/v1/jobs"
        return submission(base) + reading(base + "/{id}") + steering(base + "/{id}")
    }

    private func submission(_ base: String) -> [Route] {
        [
            Route(.post, base, .developers, "Submit a job: {kind, recipe} or {kind, model, dataset}.") { call in
                try call.checkQuery()
                let body = try await call.json()
                try Call.check(body, fields: ["kind", "name", "recipe", "model", "dataset", "device"])
                var request = try body.decode(JobRequest.self)
                // As it was written: the order of a recipe's inputs is that of their weights.
                request.recipe = body["recipe"].flatMap { $0.isNull ? nil : $0 }
                let job = try await platform.jobs.submit(
                    request, idempotencyKey: call.header(.idempotencyKey), retryCount: call.retryCount(),
                    by: call.caller())
                return try .json(job, status: .created)
            },
            Route(.get, base, .developers, "List jobs, the newest first.") { call in
                try call.checkQuery("after", "limit")
                let limit = try call.queryNumber("limit", in: 1...1000) ?? 100
                return try await .json(
                    platform.jobs.list(after: call.query("after"), limit: limit, by: call.caller()))
            },
        ]
    }

    /// What a job is and what it tells.
    private func reading(_ job: String) -> [Route] {
        [
            Route(.get, job, .developers, "Show a job.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("id")
                return try await .json(platform.jobs.show(id, by: by))
            },
            Route(.get, job + "/events", .developers, "A job's events, as JSON or server-sent events.") { call in
                try call.checkQuery("after", "limit")
                let (id, by) = try call.of("id")
                let after = try call.queryNumber("after", in: 0...Int(Int32.max)) ?? 0
                if call.header(.accept)?.contains("text/event-stream") == true {
                    return try await JobEventStream(call, keys: platform.keys)
                        .response(platform.jobs.follow(id, after: after, by: by))
                }
                let limit = try call.queryNumber("limit", in: 1...10_000) ?? 1000
                return try await .json(platform.jobs.events(of: id, after: after, limit: limit, by: by))
            },
            Route(.get, job + "/logs", .developers, "What the job's worker wrote, 1 MiB from an offset on.") {
                call in
                try call.checkQuery("offset")
                let (id, by) = try call.of("id")
                let offset = try call.queryNumber("offset", in: 0...(1 << 40)) ?? 0
                let log = try await platform.jobs.log(of: id, from: offset, by: by)
                return .bytes(ByteBuffer(bytes: log), type: "text/plain; charset=utf-8")
            },
            Route(.get, job + "/errors", .developers, "The rows that a job could not use, as JSON lines.") {
                call in
                try call.checkQuery()
                let (id, by) = try call.of("id")
                let rows = try await platform.jobs.badRows(of: id, by: by)
                return .bytes(ByteBuffer(bytes: rows), type: "application/x-ndjson")
            },
        ]
    }

    private func steering(_ job: String) -> [Route] {
        [
            Route(.post, job + "/cancel", .developers, "Stop a job for good.") { call in
                try await call.checkNoBody()
                let (id, by) = try call.of("id")
                return try await .json(platform.jobs.cancel(id, by: by))
            },
            Route(.post, job + "/pause", .developers, "Stop a job at a checkpoint.") { call in
                try await call.checkNoBody()
                let (id, by) = try call.of("id")
                return try await .json(platform.jobs.pause(id, by: by))
            },
            Route(.post, job + "/resume", .developers, "Go on with a paused job.") { call in
                try await call.checkNoBody()
                let (id, by) = try call.of("id")
                return try await .json(platform.jobs.resume(id, by: by))
            },
        ]
    }
}

extension Call {
    /// How often the client sent this before, as OpenAI's clients tell. Throws `invalidRequest`.
    func retryCount() throws -> Int {
        guard let text = header(.retryCount) else { return 0 }
        guard let count = Int(text), (0...1000).contains(count) else {
            throw MartletError(
                .invalidRequest, "x-stainless-retry-count is '\(text.prefix(20))'; give a whole number from 0",
                param: "x-stainless-retry-count")
        }
        return count
    }
}
