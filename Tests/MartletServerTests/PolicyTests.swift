import Foundation
import MartletServer
import MartletWire
import NIOHTTP1
import Testing

@Suite("Who may call what", .serialized)
struct PolicyTests {
    /// A path of the route with something in each parameter.
    static func path(_ route: Route) -> String {
        route.path.split(separator: "/").map { $0.hasPrefix("{") ? "/x" : "/" + $0 }.joined()
    }

    @Test func everyRouteRefusesWhoMayNotCall() async throws {
        let time = TestTime()
        try await LiveServer.with(time: time) { live in
            var keys: [Role: String] = [:]
            for role in Role.allCases {
                keys[role] = try await live.platform.keys.create(name: role.rawValue, role: role, by: live.admin).secret
            }
            let revoked = try await live.platform.keys.create(name: "gone", role: .admin, by: live.admin)
            // It has worked, so that a cached answer would show.
            _ = try await live.ask(.GET, "/api/v1/keys", key: revoked.secret)
            _ = try await live.platform.keys.revoke(revoked.id, by: live.admin)
            let expired = try await live.platform.keys.create(
                name: "old", role: .admin, expiresAt: Date().addingTimeInterval(3600), by: live.admin)
            #expect(try await live.ask(.GET, "/api/v1/keys", key: expired.secret).status == 200)
            time.pass(3601)
            let bad = ["", "garbage", "' OR 1=1--", "mk_00000000_x_y", revoked.secret ?? "?", expired.secret ?? "?"]
            let before = try await live.platform.audit.list(by: live.admin).data.count
            for route in live.table.routes where route.policy != .everyone {
                let method = HTTPMethod(rawValue: route.method.rawValue)
                for key in bad {
                    let answer = try await live.ask(method, Self.path(route), key: key, body: Data("{}".utf8))
                    #expect(answer.status == 401, "\(route.method) \(route.path) with '\(key.prefix(12))'")
                    #expect(!answer.text.contains(key) || key.isEmpty, "the answer repeats the key")
                }
                for role in Role.allCases where !route.policy.allows(role) {
                    let answer = try await live.ask(method, Self.path(route), key: keys[role], body: Data("{}".utf8))
                    #expect(answer.status == 403, "\(route.method) \(route.path) as \(role)")
                }
            }
            let after = try await live.platform.audit.list(by: live.admin).data.count
            #expect(before == after, "a refused call left something behind")
        }
    }

    @Test func routesForEveryoneAreTheseAndNoOthers() async throws {
        try await LiveServer.with { live in
            let open = live.table.routes.filter { $0.policy == .everyone }.map(\.path).sorted()
            #expect(
                open == [
                    "/", "/console.css", "/console.js", "/health", "/health/live", "/health/ready", "/metrics",
                    "/openapi.json",
                    "/v2", "/v2/health/live", "/v2/health/ready",
                ])
        }
    }

    @Test func theListOfRoutesIsFrozen() async throws {
        try await LiveServer.with { live in
            let routes = live.table.routes.map { "\($0.method.rawValue) \($0.path)" }.sorted()
            #expect(routes == FrozenRoutes.all)
        }
    }
}

/// Scripts are written against these: a change here needs an issue that says so.
enum FrozenRoutes {
    static let all = [
        "DELETE /api/v1/datasets/{name}", "DELETE /api/v1/datasets/{name}/versions/{upload}",
        "DELETE /api/v1/deployments/{name}", "DELETE /api/v1/keys/{id}", "DELETE /api/v1/models/{model}",
        "GET /", "GET /api/v1/audit", "GET /api/v1/audit/verify", "GET /api/v1/config", "GET /api/v1/datasets",
        "GET /api/v1/datasets/{name}", "GET /api/v1/deployments", "GET /api/v1/deployments/{name}",
        "GET /api/v1/jobs", "GET /api/v1/jobs/{id}", "GET /api/v1/jobs/{id}/errors", "GET /api/v1/jobs/{id}/events",
        "GET /api/v1/jobs/{id}/logs",
        "GET /api/v1/keys", "GET /api/v1/models", "GET /api/v1/models/{model}",
        "GET /api/v1/models/{model}/files/{file…}", "GET /api/v1/projects",
        "GET /api/v1/projects/{project}/budget", "PUT /api/v1/projects/{project}/budget", "GET /api/v1/usage",
        "GET /console.css",
        "GET /console.js", "GET /health", "GET /health/live", "GET /health/ready", "GET /metrics", "GET /openapi.json",
        "GET /v2",
        "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/stats", "GET /v2/models/{model}",
        "GET /v2/models/{model}/config", "GET /v2/models/{model}/ready", "GET /v2/models/{model}/stats",
        "GET /v2/models/{model}/versions/{version}", "GET /v2/models/{model}/versions/{version}/config",
        "GET /v2/models/{model}/versions/{version}/ready", "GET /v2/models/{model}/versions/{version}/stats",
        "PATCH /api/v1/deployments/{name}", "POST /api/v1/datasets/{name}/versions",
        "POST /api/v1/datasets/{name}/versions/{upload}/commit", "POST /api/v1/deployments",
        "POST /api/v1/deployments/{name}/predict", "POST /api/v1/deployments/{name}/rollback", "POST /api/v1/gc",
        "POST /api/v1/jobs", "POST /api/v1/jobs/{id}/cancel", "POST /api/v1/jobs/{id}/pause",
        "POST /api/v1/jobs/{id}/resume", "POST /api/v1/keys", "POST /api/v1/projects",
        "POST /v2/models/{model}/infer", "POST /v2/models/{model}/versions/{version}/infer",
        "POST /v2/repository/index", "DELETE /api/v1/models/{model}/imports/{upload}",
        "DELETE /v1/models/{model}", "DELETE /v1/responses/{response}", "GET /v1/models", "GET /v1/models/{model}",
        "GET /v1/responses/{response}", "GET /v1/responses/{response}/input_items",
        "POST /api/v1/models/{model}/imports", "POST /api/v1/models/{model}/imports/{upload}/commit",
        "POST /detokenize", "POST /tokenize", "POST /v1/chat/completions", "POST /v1/completions",
        "POST /v1/embeddings", "POST /v1/responses", "POST /v1/responses/input_tokens",
        "POST /v1/responses/{response}/cancel",
        "PUT /api/v1/models/{model}/imports/{upload}/files/{path…}",
        "PUT /api/v1/datasets/{name}/versions/{upload}/files/{path…}",
        "DELETE /v1/chat/completions/{completion}", "GET /v1/chat/completions", "GET /v1/chat/completions/{completion}",
        "GET /v1/chat/completions/{completion}/messages", "POST /v1/chat/completions/{completion}",
        "DELETE /v1/evals/{eval}", "DELETE /v1/evals/{eval}/runs/{run}", "GET /v1/evals", "GET /v1/evals/{eval}",
        "GET /v1/evals/{eval}/runs", "GET /v1/evals/{eval}/runs/{run}", "GET /v1/evals/{eval}/runs/{run}/output_items",
        "GET /v1/evals/{eval}/runs/{run}/output_items/{item}", "POST /v1/evals", "POST /v1/evals/{eval}",
        "POST /v1/evals/{eval}/runs", "POST /v1/evals/{eval}/runs/{run}", "POST /v1/evals/{eval}/runs/{run}/cancel",
        "GET /v1/batches", "GET /v1/batches/{batch}", "POST /v1/batches", "POST /v1/batches/{batch}/cancel",
        "DELETE /v1/files/{file}", "GET /v1/files", "GET /v1/files/{file}", "GET /v1/files/{file}/content",
        "GET /v1/fine_tuning/jobs", "GET /v1/fine_tuning/jobs/{job}", "GET /v1/fine_tuning/jobs/{job}/checkpoints",
        "GET /v1/fine_tuning/jobs/{job}/events", "POST /v1/files", "POST /v1/fine_tuning/jobs",
        "POST /v1/fine_tuning/alpha/graders/run", "POST /v1/fine_tuning/alpha/graders/validate",
        "POST /v1/fine_tuning/jobs/{job}/cancel", "POST /v1/fine_tuning/jobs/{job}/pause",
        "POST /v1/fine_tuning/jobs/{job}/resume", "POST /v1/uploads", "POST /v1/uploads/{upload}/cancel",
        "POST /v1/uploads/{upload}/complete", "POST /v1/uploads/{upload}/parts",
    ].sorted()
}
