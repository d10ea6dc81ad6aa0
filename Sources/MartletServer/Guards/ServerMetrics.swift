import Synchronization

/// Counts and latencies of requests by route, in Prometheus' text form.
final class ServerMetrics: Sendable {
    /// Upper bounds of the buckets, in microseconds.
    static let bounds: [UInt64] = [
        250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    ]

    private struct Entry {
        var counts: [Int: Int] = [:]
        var buckets = [Int](repeating: 0, count: ServerMetrics.bounds.count + 1)
        var microseconds: UInt64 = 0
    }

    private let entries: Mutex<[Entry]>
    private let labels: [String]

    /// One entry a route, and one for what matched none.
    init(routes: [Route]) {
        labels = routes.map { "method=\"\($0.method.rawValue)\",route=\"\($0.path)\"" } + ["method=\"\",route=\"\""]
        entries = Mutex(Array(repeating: Entry(), count: labels.count))
    }

    func record(route index: Int?, status: Int, microseconds: UInt64) {
        let bucket = Self.bounds.firstIndex { microseconds <= $0 } ?? Self.bounds.count
        entries.withLock { entries in
            let index = index ?? entries.count - 1
            entries[index].counts[status, default: 0] += 1
            entries[index].buckets[bucket] += 1
            entries[index].microseconds += microseconds
        }
    }

    func text() -> String {
        let entries = entries.withLock { $0 }
        var counts = "# HELP martlet_requests_total Requests answered.\n# TYPE martlet_requests_total counter\n"
        var times = """
            # HELP martlet_request_seconds Time from a request's head to the end of its answer.
            # TYPE martlet_request_seconds histogram

            """
        for (entry, label) in zip(entries, labels) where !entry.counts.isEmpty {
            for (status, count) in entry.counts.sorted(by: { $0.key < $1.key }) {
                counts += "martlet_requests_total{\(label),status=\"\(status)\"} \(count)\n"
            }
            var sum = 0
            for (bound, count) in zip(Self.bounds, entry.buckets) {
                sum += count
                times += "martlet_request_seconds_bucket{\(label),le=\"\(Double(bound) / 1e6)\"} \(sum)\n"
            }
            let total = sum + (entry.buckets.last ?? 0)
            times += "martlet_request_seconds_bucket{\(label),le=\"+Inf\"} \(total)\n"
            times += "martlet_request_seconds_sum{\(label)} \(Double(entry.microseconds) / 1e6)\n"
            times += "martlet_request_seconds_count{\(label)} \(total)\n"
        }
        return counts + times
    }
}
