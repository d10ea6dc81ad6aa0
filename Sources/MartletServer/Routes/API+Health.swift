import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    /// `/health/live` and `/health/ready`, the latter also as `/health`, where tools for other servers ask.
    var healthRoutes: [Route] {
        let live = Route(.get, "/health/live", .everyone, "Whether the server runs.", isLogged: false) { _ in
            .document(["status": "live"])
        }
        let ready = ["/health/ready", "/health"].map { path in
            Route(.get, path, .everyone, "Whether the server can work.", isLogged: false) { _ in
                guard platform.isReady else {
                    throw MartletError(.unavailable, "the server is starting or stopping; ask again in a moment")
                }
                return .document(["status": "ready"])
            }
        }
        return [live] + ready
    }

    /// `/metrics` and `/openapi.json`, which need the whole table.
    func descriptions(of table: [Route], metrics: ServerMetrics) -> [Route] {
        let document = OpenAPI.document(table, version: version)
        return [
            Route(.get, "/metrics", .everyone, "Counts and latencies for Prometheus.", isLogged: false) { _ in
                let jobs = try await platform.jobs.counts()
                var text = metrics.text()
                text += "# HELP martlet_jobs Jobs by state.\n# TYPE martlet_jobs gauge\n"
                for state in JobState.allCases {
                    text += "martlet_jobs{state=\"\(state.rawValue)\"} \(jobs[state] ?? 0)\n"
                }
                text += statistics.prometheusText()
                return .text(text, type: "text/plain; version=0.0.4; charset=utf-8")
            },
            Route(.get, "/openapi.json", .everyone, "This description.", isLogged: false) { _ in .document(document) },
        ]
    }
}
