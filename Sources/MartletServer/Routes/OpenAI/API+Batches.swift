import Foundation
import Hummingbird
import MartletPlatform
import MartletStore
import MartletWire

extension API {
    /// `/v1/batches`: files of requests that run in the background.
    var batchRoutes: [Route] {
        let base = "/v1/batches"
        return [
            Route(.post, base, .developers, "Run a file of requests in the background.") { call in
                try call.checkQuery()
                let request = try Self.batchRequest(await call.json())
                let isRetry = try call.retryCount() > 0
                let view = try await platform.batches.create(request, isRetry: isRetry, by: call.caller())
                return .document(Self.document(view))
            },
            Route(.get, base, .developers, "List batches.") { call in
                try call.checkQuery("after", "limit")
                let limit = try call.queryNumber("limit", in: 1...100) ?? 20
                let (views, hasMore) = try await platform.batches.list(
                    after: call.query("after"), limit: limit, by: call.caller())
                return .list(views.map { Self.document($0) }, hasMore: hasMore)
            },
            Route(.get, base + "/{batch}", .developers, "Show a batch.", isLogged: false) { call in
                try call.checkQuery()
                let (id, by) = try call.of("batch")
                return .document(Self.document(try await platform.batches.show(id, by: by)))
            },
            Route(.post, base + "/{batch}/cancel", .developers, "Cancel a batch; what is done stays.") { call in
                try call.checkQuery()
                try await call.checkNoBody()
                let (id, by) = try call.of("batch")
                return .document(Self.document(try await platform.batches.cancel(id, by: by)))
            },
        ]
    }

    private static func batchRequest(_ body: JSON) throws -> BatchService.Request {
        var fields = try RequestFields(body)
        let file = try fields.requiredString("input_file_id")
        guard let endpoint = try fields.choice("endpoint", BatchService.endpoints) else {
            throw fields.fault("endpoint", "is missing; use one of \(BatchService.endpoints.joined(separator: ", "))")
        }
        guard try fields.choice("completion_window", ["24h"]) != nil else {
            throw fields.fault("completion_window", "is missing; use 24h")
        }
        let metadata = try StoredMetadata.read(&fields)
        let name = "output_expires_after"
        let seconds = try OpenAIFiles.seconds(fields.object(name), name)
        try fields.finish()
        return BatchService.Request(inputFile: file, endpoint: endpoint, metadata: metadata, fileSeconds: seconds)
    }

    private static func document(_ view: BatchService.View) -> JSON {
        let (batch, info, tally) = (view.batch, view.batch.info, view.tally)
        func time(_ name: String) -> JSON { info.times[name].map { JSON(Int($0.timeIntervalSince1970)) } ?? .null }
        func text(_ text: String?) -> JSON { text.map { .string($0) } ?? .null }
        let errors: JSON =
            info.errors.isEmpty
            ? .null
            : [
                "object": "list",
                "data": .array(
                    info.errors.map { fault in
                        [
                            "code": .string(fault.code), "line": fault.line.map { JSON($0) } ?? .null,
                            "message": .string(fault.message), "param": text(fault.param),
                        ]
                    }),
            ]
        return [
            "id": .string(batch.id), "object": "batch", "endpoint": .string(info.endpoint),
            "model": text(info.model), "errors": errors, "input_file_id": .string(info.inputFile),
            "completion_window": "24h", "status": .string(batch.state.rawValue),
            "output_file_id": text(info.outputFile), "error_file_id": text(info.errorFile),
            "created_at": JSON(Int(batch.createdAt.timeIntervalSince1970)), "in_progress_at": time("in_progress"),
            "expires_at": JSON(Int(info.expiresAt.timeIntervalSince1970)), "finalizing_at": time("finalizing"),
            "completed_at": time("completed"), "failed_at": time("failed"), "expired_at": time("expired"),
            "cancelling_at": time("cancelling"), "cancelled_at": time("cancelled"),
            "request_counts": [
                "total": JSON(info.total), "completed": JSON(tally.completed), "failed": JSON(tally.failed),
            ],
            "usage": [
                "input_tokens": JSON(tally.inputTokens),
                "input_tokens_details": ["cached_tokens": JSON(tally.cachedTokens)],
                "output_tokens": JSON(tally.outputTokens), "output_tokens_details": ["reasoning_tokens": 0],
                "total_tokens": JSON(tally.inputTokens &+ tally.outputTokens),
            ], "metadata": info.metadata ?? .null,
        ]
    }
}
