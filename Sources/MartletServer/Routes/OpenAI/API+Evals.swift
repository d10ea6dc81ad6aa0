import Foundation
import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletStore
import MartletWire

extension API {
    /// `/v1/evals`: graders over data or kept answers.
    var evalRoutes: [Route] {
        let base = "/v1/evals"
        return [
            Route(.post, base, .developers, "Make an eval.") { call in
                try call.checkQuery()
                var fields = try RequestFields(await call.json())
                let config = try fields.required("data_source_config"),
                    criteria = try fields.required("testing_criteria")
                let name = try fields.string("name"), metadata = try StoredMetadata.read(&fields)
                try fields.finish()
                let eval = try await platform.evals.create(
                    name: name, metadata: metadata, dataSourceConfig: config, testingCriteria: criteria,
                    by: call.caller())
                return .document(EvalAnswers.eval(eval), status: .created)
            },
            Route(.get, base, .developers, "List evals.") { call in
                try call.checkQuery("after", "limit", "order", "order_by")
                let order = call.query("order_by") ?? "created_at"
                guard ["created_at", "updated_at"].contains(order) else {
                    throw MartletError(
                        .invalidRequest, "'order_by' is '\(order.prefix(20))'; use created_at or updated_at",
                        param: "order_by")
                }
                let (evals, hasMore) = try await platform.evals.list(
                    after: call.query("after"), limit: try call.queryNumber("limit", in: 1...100) ?? 20,
                    isNewestFirst: try call.isNewestFirst(otherwise: false), byUpdate: order == "updated_at",
                    by: call.caller())
                return .list(evals.map(EvalAnswers.eval), hasMore: hasMore)
            },
            Route(.get, base + "/{eval}", .developers, "Show an eval.", isLogged: false) { call in
                try call.checkQuery()
                let (id, by) = try call.of("eval")
                return .document(EvalAnswers.eval(try await platform.evals.show(id, by: by)))
            },
            Route(.post, base + "/{eval}", .developers, "Change an eval's name or metadata.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("eval")
                var fields = try RequestFields(await call.json())
                let name = try fields.string("name"), metadata = try StoredMetadata.read(&fields)
                try fields.finish()
                return .document(
                    EvalAnswers.eval(try await platform.evals.update(id, name: name, metadata: metadata, by: by)))
            },
            Route(.delete, base + "/{eval}", .developers, "Delete an eval and its runs.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("eval")
                try await platform.evals.delete(id, by: by)
                return .document(["object": "eval.deleted", "deleted": true, "eval_id": .string(id)])
            },
        ] + evalRunRoutes(base + "/{eval}/runs") + outputItemRoutes(base + "/{eval}/runs/{run}/output_items")
    }

    private func evalRunRoutes(_ base: String) -> [Route] {
        let cancel: Route.Handler = { call in
            try call.checkQuery()
            try await call.checkNoBody()
            let (id, by) = try call.of("run")
            let view = try await platform.evals.cancelRun(id, of: try call.parameter("eval"), by: by)
            return .document(EvalAnswers.run(view, call))
        }
        return [
            Route(.post, base, .developers, "Run an eval.") { call in
                try call.checkQuery()
                let (eval, by) = try call.of("eval")
                var fields = try RequestFields(await call.json())
                let source = try fields.required("data_source"), name = try fields.string("name")
                let metadata = try StoredMetadata.read(&fields)
                try fields.finish()
                let view = try await platform.evals.createRun(
                    eval, name: name, dataSource: source, metadata: metadata, by: by)
                return .document(EvalAnswers.run(view, call), status: .created)
            },
            Route(.get, base, .developers, "List an eval's runs.") { call in
                try call.checkQuery("after", "limit", "order", "status")
                let (eval, by) = try call.of("eval")
                let (views, hasMore) = try await platform.evals.listRuns(
                    eval, state: try Self.runState(call), after: call.query("after"),
                    limit: try call.queryNumber("limit", in: 1...100) ?? 20,
                    isNewestFirst: try call.isNewestFirst(otherwise: false), by: by)
                return .list(views.map { EvalAnswers.run($0, call) }, hasMore: hasMore)
            },
            Route(.get, base + "/{run}", .developers, "Show a run and its results.", isLogged: false) { call in
                try call.checkQuery()
                let (id, by) = try call.of("run")
                let view = try await platform.evals.showRun(id, of: try call.parameter("eval"), by: by)
                return .document(EvalAnswers.run(view, call))
            },
            // The API's own reference has the first, its clients the second.
            Route(.post, base + "/{run}", .developers, "Cancel a run.", isLogged: true, cancel),
            Route(
                .post, base + "/{run}/cancel", .developers, "Cancel a run; what was judged stays.", isLogged: true,
                cancel),
            Route(.delete, base + "/{run}", .developers, "Delete a run and its results.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("run")
                try await platform.evals.deleteRun(id, of: try call.parameter("eval"), by: by)
                return .document(["object": "eval.run.deleted", "deleted": true, "run_id": .string(id)])
            },
        ]
    }

    private static func runState(_ call: Call) throws -> StoredEvalRun.State? {
        guard let status = call.query("status") else { return nil }
        guard let state = StoredEvalRun.State(rawValue: status) else {
            throw MartletError(
                .invalidRequest,
                "'status' is '\(status.prefix(20))'; use queued, in_progress, completed, canceled or failed",
                param: "status")
        }
        return state
    }

    private func outputItemRoutes(_ base: String) -> [Route] {
        [
            Route(.get, base, .developers, "What came of a run's items.") { call in
                try call.checkQuery("after", "limit", "order", "status")
                let (id, by) = try call.of("run")
                let eval = try call.parameter("eval")
                let status = call.query("status")
                guard status == nil || status == "pass" || status == "fail" else {
                    throw MartletError(
                        .invalidRequest, "'status' is '\(status?.prefix(20) ?? "")'; use pass or fail", param: "status")
                }
                let (items, hasMore) = try await platform.evals.items(
                    ofRun: id, of: eval, passed: status.map { $0 == "pass" }, after: call.query("after"),
                    limit: try call.queryNumber("limit", in: 1...100) ?? 20,
                    isNewestFirst: try call.isNewestFirst(otherwise: false), by: by)
                return .list(items.map { EvalAnswers.item($0, run: id, eval: eval) }, hasMore: hasMore)
            },
            Route(.get, base + "/{item}", .developers, "What came of one item.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("item")
                let (run, eval) = (try call.parameter("run"), try call.parameter("eval"))
                let item = try await platform.evals.item(id, ofRun: run, of: eval, by: by)
                return .document(EvalAnswers.item(item, run: run, eval: eval))
            },
        ]
    }
}

/// Evals, runs and output items as OpenAI's API has them.
enum EvalAnswers {
    static func eval(_ eval: StoredEval) -> JSON {
        [
            "object": "eval", "id": .string(eval.id), "name": .string(eval.info.name),
            "created_at": JSON(eval.createdAt), "data_source_config": eval.shownDataSourceConfig,
            "testing_criteria": eval.info.testingCriteria, "metadata": eval.info.metadata ?? [:],
        ]
    }

    static func run(_ view: EvalService.View, _ call: Call) -> JSON {
        let run = view.run
        let total = view.counts.values.reduce(0, +)
        func count(_ state: StoredEvalItem.State) -> JSON { JSON(view.counts[state, default: 0]) }
        let path = "/v1/evals/\(run.evalID)/runs/\(run.id)/output_items"
        let error: JSON =
            run.info.error.map { ["code": .string($0.code.rawValue), "message": .string($0.message)] } ?? .null
        return [
            "object": "eval.run", "id": .string(run.id), "eval_id": .string(run.evalID),
            "name": .string(run.info.name), "created_at": JSON(run.createdAt), "status": .string(run.state.rawValue),
            "model": .string(run.info.model), "data_source": run.info.dataSource, "error": error,
            "metadata": run.info.metadata ?? [:], "report_url": .string(call.url(path)),
            "result_counts": [
                "total": JSON(total), "errored": count(.error), "failed": count(.fail), "passed": count(.pass),
            ],
            "per_testing_criteria_results": .array(
                view.criteria.map {
                    ["testing_criteria": .string($0.name), "passed": JSON($0.passed), "failed": JSON($0.failed)]
                }),
            "per_model_usage": .array(
                view.usage.map {
                    [
                        "model_name": .string($0.model), "invocation_count": JSON($0.requests),
                        "prompt_tokens": JSON($0.input), "completion_tokens": JSON($0.output),
                        "total_tokens": JSON($0.input &+ $0.output), "cached_tokens": JSON($0.cached),
                    ]
                }),
        ]
    }

    static func item(_ item: StoredEvalItem, run: String, eval: String) -> JSON {
        [
            "object": "eval.run.output_item", "id": .string(item.id), "run_id": .string(run),
            "eval_id": .string(eval), "created_at": item.createdAt.map { JSON($0) } ?? .null,
            "status": .string(item.state.rawValue), "datasource_item_id": JSON(item.number),
            "datasource_item": item.source["item"] ?? .null, "results": item.result?["results"] ?? [],
            "sample": item.result?["sample"] ?? .null,
        ]
    }
}

extension Call {
    /// A path of this server as the client knows it.
    func url(_ path: String) -> String {
        let scheme = request.head.scheme ?? "http"
        return "\(scheme)://\(request.head.authority ?? "localhost")\(path)"
    }
}
