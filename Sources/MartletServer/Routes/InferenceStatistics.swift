import Foundation
import MartletWire
import Synchronization

/// Requests, rows and times by model name, for the Open Inference Protocol's `stats` and for `/metrics`.
final class InferenceStatistics: Sendable {
    struct Entry: Sendable {
        var successCount = 0
        var failureCount = 0
        var rowCount = 0
        var successNanoseconds: UInt64 = 0
        var failureNanoseconds: UInt64 = 0
        var queueNanoseconds: UInt64 = 0
        var computeNanoseconds: UInt64 = 0
        /// Milliseconds since 1970 of the last answer.
        var lastMilliseconds: UInt64 = 0
    }

    /// Past this many names, new ones count as one without a name.
    private static let nameLimit = 10_000
    private let entries = Mutex<[String: Entry]>([:])

    func succeeded(_ model: String, _ reply: InferenceReply, since arrival: UInt64) {
        let nanoseconds = DispatchTime.now().uptimeNanoseconds &- arrival
        let milliseconds = Self.milliseconds
        entries.withLock { entries in
            entries[Self.name(model, in: entries), default: Entry()].add(
                reply, nanoseconds: nanoseconds, at: milliseconds)
        }
    }

    func failed(_ model: String, since arrival: UInt64) {
        let nanoseconds = DispatchTime.now().uptimeNanoseconds &- arrival
        entries.withLock { entries in
            let name = Self.name(model, in: entries)
            entries[name, default: Entry()].failureCount += 1
            entries[name, default: Entry()].failureNanoseconds += nanoseconds
        }
    }

    private static func name(_ model: String, in entries: [String: Entry]) -> String {
        entries[model] != nil || entries.count < nameLimit ? model : ""
    }

    func entry(_ model: String) -> Entry { entries.withLock { $0[model] ?? Entry() } }

    private static var milliseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }

    /// Totals over all names: names stay out of what anyone may read.
    func prometheusText() -> String {
        let all = entries.withLock { Array($0.values) }
        func sum<Value: AdditiveArithmetic>(_ path: KeyPath<Entry, Value>) -> Value {
            all.reduce(Value.zero) { $0 + $1[keyPath: path] }
        }
        return """
            # HELP martlet_inference_total Inference requests by outcome.
            # TYPE martlet_inference_total counter
            martlet_inference_total{outcome="success"} \(sum(\.successCount))
            martlet_inference_total{outcome="failure"} \(sum(\.failureCount))
            # HELP martlet_inference_rows_total Rows that were answered.
            # TYPE martlet_inference_rows_total counter
            martlet_inference_rows_total \(sum(\.rowCount))
            # HELP martlet_inference_queue_seconds_total Time that requests waited for a batch.
            # TYPE martlet_inference_queue_seconds_total counter
            martlet_inference_queue_seconds_total \(Double(sum(\.queueNanoseconds)) / 1e9)
            # HELP martlet_inference_compute_seconds_total Time that batches were computed.
            # TYPE martlet_inference_compute_seconds_total counter
            martlet_inference_compute_seconds_total \(Double(sum(\.computeNanoseconds)) / 1e9)

            """
    }
}

extension InferenceStatistics.Entry {
    mutating func add(_ reply: InferenceReply, nanoseconds: UInt64, at milliseconds: UInt64) {
        successCount += 1
        rowCount += max(0, reply.rows)
        successNanoseconds += nanoseconds
        queueNanoseconds += UInt64(max(0, min(reply.queueMicroseconds, 1 << 40))) * 1000
        computeNanoseconds += UInt64(max(0, min(reply.computeMicroseconds, 1 << 40))) * 1000
        lastMilliseconds = milliseconds
    }
}
