import Foundation
import MartletWire
import Synchronization

/// What one answer cost: by the replica's own count, or by what was seen of it where the replica is gone.
final class GenerationBill: Sendable {
    private struct Seen {
        var promptTokens = 0
        var texts = 0
        var isSettled = false
    }
    private let ledger: Ledger
    private let principal: Principal
    private let reference: String
    /// Tokens that prompt and answer can have at most.
    private let limit: Int
    private let seen = Mutex(Seen())

    init(ledger: Ledger, principal: Principal, reference: String, limit: Int) {
        self.ledger = ledger
        self.principal = principal
        self.reference = reference
        self.limit = limit
    }

    func saw(_ event: GenerationEvent) {
        seen.withLock { seen in
            switch event {
            case .started(let promptTokens, _): seen.promptTokens = promptTokens
            case .text(_, _, let tokens): seen.texts += max(1, tokens.count)
            case .toolArguments: seen.texts += 1
            case .toolCall, .finished, .done: break
            }
        }
    }

    /// A request that was refused costs nothing; one that ended early costs what was done.
    func settle(_ result: Result<[UInt8], MartletError>) {
        let seen = seen.withLock { seen in
            defer { seen.isSettled = true }
            return seen
        }
        guard !seen.isSettled else { return }
        if case .success(let head) = result, case .done(let usage)? = try? GenerationEvent(head: head) {
            count(
                usage.promptTokens, usage.completionTokens,
                microseconds: usage.prefillMicroseconds &+ usage.decodeMicroseconds)
        } else if seen.promptTokens > 0 {
            count(seen.promptTokens, seen.texts, microseconds: 0)
        }
    }

    private func count(_ promptTokens: Int, _ completionTokens: Int, microseconds: Int) {
        ledger.count(
            by: principal, kind: "inference", resource: reference, rows: 1, cpuSeconds: Double(microseconds) / 1e6,
            promptTokens: min(promptTokens, limit),
            completionTokens: min(completionTokens, limit))
    }
}
