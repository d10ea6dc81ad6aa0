import Hummingbird
import MartletPlatform
import MartletText
import MartletWire
import Synchronization

extension API {
    /// `/v1/fine_tuning/alpha/graders`: a grader tried on one answer before a job is made with it.
    var graderRoutes: [Route] {
        let base = "/v1/fine_tuning/alpha/graders"
        return [
            Route(.post, base + "/run", .developers, "What a grader says of one answer.") { call in
                try await GraderRoutes(platform: platform).run(call)
            },
            Route(.post, base + "/validate", .developers, "Whether a grader can be read.") { call in
                try call.checkQuery()
                var fields = try RequestFields(try await call.json())
                let value = try fields.required("grader")
                try fields.finish()
                _ = try Grader(value, path: "grader")
                return .document(["grader": value])
            },
        ]
    }
}

/// Runs a grader once.
struct GraderRoutes {
    let platform: Platform

    /// A model that the grader asks did not answer.
    private struct Unanswered: Error { var error: MartletError }

    func run(_ call: Call) async throws -> Response {
        try call.checkQuery()
        var fields = try RequestFields(try await call.json())
        let grader = try Grader(try fields.required("grader"), path: "grader")
        let sample = try fields.requiredString("model_sample")
        let item = try fields.object("item") ?? [:]
        try fields.finish()
        let (started, caller) = (ContinuousClock.now, try call.caller())
        let tokens = Mutex<[String: Int]>([:])
        var score = GraderScore(0)
        var errors = Self.errors
        do {
            score = try await grader.score(GraderContext(item: item, outputText: sample)) { question in
                let (text, count) = try await ask(question, caller)
                tokens.withLock { $0[question.model, default: 0] += count }
                return text
            }
        } catch let failure as Unanswered {
            errors["model_grader_server_error"] = true
            errors["model_grader_server_error_details"] = .string(failure.error.message)
        } catch let error as MartletError where error.code == .invalidData {
            // A place of the grader without a value, or a model's answer or a formula that gives none.
            errors["other_error"] = true
        }
        let parts = JSON.object(JSONObject(score.parts.map { ($0.key, .double($0.value)) }))
        let used = tokens.withLock { $0 }
        return .document([
            "reward": .double(score.value), "sub_rewards": parts,
            "model_grader_token_usage_per_model": .object(JSONObject(used.map { ($0.key, JSON($0.value)) })),
            "metadata": [
                "name": .string(grader.name), "type": .string(grader.type), "scores": parts,
                "errors": .object(errors), "execution_time": .double((ContinuousClock.now - started) / .seconds(1)),
                "token_usage": used.isEmpty ? .null : JSON(used.values.reduce(0, &+)),
                "sampled_model_name": grader.models.first.map { .string($0) } ?? .null,
            ],
        ])
    }

    private static let errors: JSONObject = [
        "formula_parse_error": false, "invalid_variable_error": false, "model_grader_parse_error": false,
        "model_grader_refusal_error": false, "model_grader_server_error": false,
        "model_grader_server_error_details": .null, "other_error": false, "python_grader_runtime_error": false,
        "python_grader_runtime_error_details": .null, "python_grader_server_error": false,
        "python_grader_server_error_type": .null, "sample_parse_error": false, "truncated_observation_error": false,
        "unresponsive_reward_error": false,
    ]

    private func ask(_ question: GraderQuestion, _ caller: Principal) async throws -> (String, Int) {
        let reply = await InnerExecutor(platform: platform).execute(
            InnerRequest(
                path: "/v1/chat/completions", body: question.body, principal: caller, isBackground: false))
        guard reply.status == 200 else {
            throw Unanswered(
                error: MartletError(
                    .unavailable, reply.body["error"]?["message"]?.string ?? "the grader's model gave no answer"))
        }
        let text = reply.body["choices"]?.array?.first?["message"]?["content"]?.string ?? ""
        return (text, reply.body["usage"]?["total_tokens"]?.int ?? 0)
    }
}
