import Foundation
import MartletWire
import Synchronization

/// Whose use it was, of what, in which hour.
struct UsageSlot: Hashable {
    var hour: Date
    /// The project's and the key's ids.
    var project: String
    var key: String
    var kind: String
    var resource: String

    static func hour(of date: Date) -> Date {
        Date(timeIntervalSince1970: (date.timeIntervalSince1970 / 3600).rounded(.down) * 3600)
    }

    func row(_ amount: UsageAmount) -> UsageRow {
        UsageRow(
            hour: hour, project: project, key: key, kind: kind, resource: resource, requests: amount.requests,
            rows: amount.rows, cpuSeconds: amount.cpuSeconds, promptTokens: amount.promptTokens,
            completionTokens: amount.completionTokens)
    }
}

/// Amounts come from engine processes: none is negative, and a sum that does not fit stays as it was.
struct UsageAmount {
    var requests = 0
    var rows = 0
    var cpuSeconds = 0.0
    var promptTokens = 0
    var completionTokens = 0

    mutating func add(_ other: UsageAmount) {
        requests = Self.sum(requests, other.requests)
        rows = Self.sum(rows, other.rows)
        promptTokens = Self.sum(promptTokens, other.promptTokens)
        completionTokens = Self.sum(completionTokens, other.completionTokens)
        if other.cpuSeconds.isFinite { cpuSeconds += max(0, other.cpuSeconds) }
    }

    private static func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, isOverflow) = left.addingReportingOverflow(max(0, right))
        return isOverflow ? left : sum
    }
}

/// What one piece of background work used, until it is stored together with its result: a piece without a result
/// costs nothing, and one with a result costs what it used, whatever dies in between.
final class UsageTab: Sendable, Equatable {
    private struct State {
        var amounts: [UsageSlot: UsageAmount] = [:]
        var isOpen = true
    }
    private let state = Mutex(State())

    func add(_ amount: UsageAmount, to slot: UsageSlot) {
        state.withLock { if $0.isOpen { $0.amounts[slot, default: UsageAmount()].add(amount) } }
    }

    /// What is on it; nothing is added later.
    func close() -> [UsageRow] {
        state.withLock { state in
            state.isOpen = false
            return state.amounts.map { $0.row($1) }
        }
    }

    static func == (left: UsageTab, right: UsageTab) -> Bool { left === right }
}
