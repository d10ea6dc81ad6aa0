import Foundation
import MartletWire

/// What other threads ask of the compute thread of a language model.
final class LanguageInbox: @unchecked Sendable {
    // Unchecked: the fields are used under `condition` only.
    enum Item: Sendable {
        case submit(GenerationPlan)
        case cancel(LanguageScheduler.RequestID)
        case embed(EmbeddingWork)
        /// Answered between two passes or layers, so that a stuck one shows.
        case ping(@Sendable () -> Void)
    }

    private let condition = NSCondition()
    private var items: [Item] = []
    private var isDraining = false
    /// Answers that are being read, that lie in `items`, and that waited for their first pass when it was last told.
    private var reading = 0
    private var lying = 0
    private var waiting = 0

    /// Room for answers that are about to be read; false where there is none.
    func reserve(_ answers: Int, upTo most: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        guard answers == 0 || answers <= most - reading - lying - waiting else { return false }
        reading += answers
        return true
    }

    /// Answers for which there was room come to nothing.
    func giveBack(_ answers: Int) {
        condition.lock()
        reading -= answers
        condition.unlock()
    }

    /// How many answers wait for their first pass, of those that were taken from here.
    func note(waiting count: Int) {
        condition.lock()
        waiting = count
        condition.unlock()
    }

    /// False where nobody reads any more.
    func put(_ item: Item) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        if isDraining, case .cancel = item {} else if isDraining { return false }
        if case .submit(let plan) = item {
            reading -= plan.choiceCount
            lying += plan.choiceCount
        }
        items.append(item)
        condition.signal()
        return true
    }

    /// Answers whoever asks for a sign of life, in the middle of a pass: one may take seconds with a large model.
    func answerPings() {
        condition.lock()
        var pings: [@Sendable () -> Void] = []
        if !items.isEmpty {
            items.removeAll { item in
                guard case .ping(let done) = item else { return false }
                pings.append(done)
                return true
            }
        }
        condition.unlock()
        for done in pings { done() }
    }

    /// Takes nothing more in.
    func drain() {
        condition.lock()
        isDraining = true
        condition.broadcast()
        condition.unlock()
    }

    /// What has come; where that is nothing and `waits`, waits for something. Nil once drained and empty.
    func take(waits: Bool) -> [Item]? {
        condition.lock()
        defer { condition.unlock() }
        while waits, items.isEmpty {
            if isDraining { return nil }
            condition.wait()
        }
        defer { items.removeAll(keepingCapacity: true) }
        waiting += lying
        lying = 0
        return items
    }
}
