import Foundation
import MartletServer
import MartletWire
import NIOHTTP1
import Testing

@Suite("What is answered", .serialized)
struct AnswerTests {
    @Test func foreignPagesAreRefused() async throws {
        try await LiveServer.with { live in
            let host = [("Host", "evil.example")]
            #expect(try await live.ask(.GET, "/health/live", headers: host).status == 403)
            let origin = [("Origin", "http://evil.example")]
            let answer = try await live.ask(
                .POST, "/api/v1/projects", headers: origin, body: Data("{\"name\":\"x\"}".utf8))
            #expect(answer.status == 403)
            let projects = try await live.platform.projects.list(by: live.admin)
            #expect(!projects.contains { $0.name == "x" })
        }
    }

    @Test func pagesOfListedOriginsAreAnswered() async throws {
        let page = "https://app.example.com"
        let question = [
            ("Origin", page), ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os"),
            ("Access-Control-Request-Private-Network", "true"),
        ]
        try await LiveServer.with {
            $0.corsOrigins = "https://other.example, " + page
            $0.hostNames = "models.example.com"
        } _: { live in
            let told = try await live.ask(.OPTIONS, "/v1/chat/completions", key: "", headers: question)
            #expect(told.status == 204 && told.text.isEmpty)
            #expect(told.headers.first(name: "access-control-allow-origin") == page)
            #expect(told.headers.first(name: "access-control-allow-methods")?.contains("POST") == true)
            #expect(
                told.headers.first(name: "access-control-allow-headers") == "authorization,content-type,x-stainless-os")
            #expect(told.headers.first(name: "access-control-allow-private-network") == "true")
            #expect(told.headers.first(name: "access-control-allow-credentials") == nil)
            for (key, status) in [(nil, 200), ("", 401), ("wrong", 401)] as [(String?, Int)] {
                let answer = try await live.ask(.GET, "/v1/models", key: key, headers: [("Origin", page)])
                #expect(answer.status == status)
                #expect(answer.headers.first(name: "access-control-allow-origin") == page)
                #expect(answer.headers.first(name: "access-control-expose-headers") == "*")
                #expect(answer.headers.first(name: "vary") == "Origin")
            }
            let stranger = [("Origin", "https://evil.example")] + question.dropFirst()
            for method in [.OPTIONS, .GET] as [HTTPMethod] {
                let answer = try await live.ask(method, "/v1/models", headers: stranger)
                #expect(answer.status == 403 && answer.text.contains("cors_origins"))
                #expect(answer.headers.first(name: "access-control-allow-origin") == nil)
            }
            #expect(try await live.ask(.OPTIONS, "/v1/models", headers: [("Origin", page)]).status == 405)
            #expect(try await live.ask(.GET, "/v1/models", headers: [("Host", "models.example.com")]).status == 200)
        }
        try await LiveServer.with { live in
            let own = [("Origin", live.url)] + question.dropFirst()
            let answer = try await live.ask(.OPTIONS, "/v1/models", headers: own)
            #expect(answer.status == 405 && answer.headers.first(name: "vary") == nil)
            let named = try await live.ask(.GET, "/v1/models", headers: [("Host", "models.example.com")])
            #expect(named.status == 403 && named.text.contains("host_names"))
        }
    }

    @Test func errorsSpeakTheLanguageOfTheirRoutes() async throws {
        try await LiveServer.with { live in
            let native = try await live.ask(.GET, "/api/v1/models/nothing")
            #expect(native.status == 404)
            #expect(try native.json()["error"]?["code"] == "not_found")
            for path in ["/v2/models/nothing", "/v2/models/nothing/ready", "/v2/models/nothing/versions/1/config"] {
                let open = try await live.ask(.GET, path)
                #expect(open.status == 404)
                #expect(try open.json()["error"]?.string?.contains("nothing") == true, "\(path)")
            }
            let infer = try await live.post("/v2/models/nothing/infer", "{\"inputs\":[]}")
            #expect(infer.status == 404)
            #expect(try infer.json()["error"]?.string != nil)
            #expect(try await live.ask(.GET, "/nothing").status == 404)
            let other = try await live.ask(.DELETE, "/health/live")
            #expect(other.status == 405)
            #expect(other.headers.first(name: "allow") == "GET")
            let unknown = try await live.ask(.GET, "/api/v1/jobs?colour=red")
            #expect(unknown.status == 400)
            #expect(try unknown.json()["error"]?["param"] == "colour")
        }
    }

    @Test func requestsKeepTheirIds() async throws {
        try await LiveServer.with { live in
            let own = try await live.ask(.GET, "/health/live", headers: [("x-request-id", "abc-1")])
            #expect(own.headers.first(name: "x-request-id") == "abc-1")
            let made = try await live.ask(.GET, "/health/live")
            #expect(made.headers.first(name: "x-request-id")?.hasPrefix("req_") == true)
            #expect(made.headers.first(name: "date")?.hasSuffix("GMT") == true)
        }
    }

    @Test func keysProjectsAndAuditGoRound() async throws {
        try await LiveServer.with { live in
            let project = try await live.post("/api/v1/projects", "{\"name\":\"标签\"}")
            #expect(project.status == 201)
            #expect(try await live.post("/api/v1/projects", "{\"name\":\"标签\"}").status == 409)
            let body = "{\"name\":\"k\",\"role\":\"developer\",\"project\":\"标签\"}"
            let key = try await live.post("/api/v1/keys", body).json()
            let secret = try #require(key["secret"]?.string)
            #expect(try await live.ask(.GET, "/api/v1/jobs", key: secret).status == 200)
            let list = try await live.ask(.GET, "/api/v1/keys").text
            #expect(!list.contains(secret))
            let id = try #require(key["id"]?.string)
            #expect(try await live.ask(.DELETE, "/api/v1/keys/\(id)").status == 200)
            #expect(try await live.ask(.GET, "/api/v1/jobs", key: secret).status == 401)
            let audit = try await live.ask(.GET, "/api/v1/audit").json()
            let actions = audit["data"]?.array?.compactMap { $0["action"]?.string } ?? []
            #expect(actions.starts(with: ["key.revoke", "key.create"]))
            let verified = try await live.ask(.GET, "/api/v1/audit/verify").json()
            #expect(verified["first_bad_sequence"] == nil)
        }
    }

    @Test func whatDescribesTheServerIsThere() async throws {
        try await LiveServer.with({ $0.serverName = "swallow" }) { live in
            let server = try await live.ask(.GET, "/v2", key: "").json()
            #expect(server["name"] == "swallow")
            #expect(server["extensions"]?.array?.contains("binary_tensor_data") == true)
            let document = try await live.ask(.GET, "/openapi.json", key: "").json()
            let paths = try #require(document["paths"]?.object)
            for route in live.table.routes {
                let operations = try #require(
                    paths[route.path.replacingOccurrences(of: "…}", with: "}")], "\(route.path)")
                #expect(operations[route.method.rawValue.lowercased()] != nil)
            }
            _ = try await live.ask(.GET, "/nothing")
            let metrics = try await live.ask(.GET, "/metrics", key: "").text
            #expect(
                metrics.contains("martlet_requests_total{method=\"GET\",route=\"/openapi.json\",status=\"200\"} 1\n"))
            #expect(metrics.contains("martlet_jobs{state=\"queued\"} 0\n"))
            let page = try await live.ask(.GET, "/", key: "")
            #expect(page.headers.first(name: "content-security-policy")?.contains("default-src 'none'") == true)
            #expect(!page.text.contains("http://") && !page.text.contains("https://"))
        }
    }
}
