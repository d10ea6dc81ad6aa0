import MartletWire

extension LanguageScheduler {
    /// The next pass. Its rows are computed, or the sequences ended, before the next call.
    public mutating func next(now: UInt64) -> Pass {
        var pass = Pass()
        pass.expired = expire(now)
        for index in running.indices { running[index].underway = 0 }
        var budget = limits.passTokens
        advance(&budget)
        if running.contains(where: { $0.underway > 0 }) { budget = min(budget, limits.mixedPassTokens) }
        budget = min(budget, max(1, promptTokens))
        prefill(&budget)
        admit(&budget)
        pass.rows = running.compactMap(row)
        pass.preempted = preempted
        preempted.removeAll()
        return pass
    }

    private func row(_ sequence: Sequence) -> Row? {
        guard sequence.underway > 0 else { return nil }
        let end = sequence.computed + sequence.underway
        return Row(
            id: sequence.id, tokens: Array(sequence.tokens[sequence.computed..<end]), start: sequence.computed,
            pages: sequence.pages, samples: end == sequence.tokens.count, cachedTokens: sequence.cached)
    }

    private mutating func expire(_ now: UInt64) -> [RequestID] {
        let expired = requests.values.filter { ($0.submission.deadline ?? .max) <= now }.map(\.submission.id).sorted()
        for id in expired { cancel(id) }
        return expired
    }

    /// One token of every sequence whose prompt is computed.
    private mutating func advance(_ budget: inout Int) {
        var index = 0
        while index < running.count, budget > 0 {
            // Making room may take places from behind this one, or this one's own.
            let id = running[index].id
            if running[index].computed + 1 == running[index].tokens.count, makeRoom(1, for: index) {
                running[index].underway = 1
                budget -= 1
            }
            if index < running.count, running[index].id == id { index += 1 }
        }
    }

    /// Parts of prompts: those of the keys that were served least come first.
    private mutating func prefill(_ budget: inout Int) {
        let order = running.filter { $0.computed + 1 < $0.tokens.count }.map { sequence in
            (
                id: sequence.id, rank: sequence.isBackground ? 1 : 0,
                served: owner(of: sequence).flatMap { owners[$0]?.served } ?? 0
            )
        }
        for (_, item) in order.enumerated().sorted(by: {
            ($0.1.rank, $0.1.served, $0.0) < ($1.1.rank, $1.1.served, $1.0)
        }) {
            guard budget > 0 else { return }
            guard let index = running.firstIndex(where: { $0.id == item.id }) else { continue }
            let count = min(budget, running[index].tokens.count - running[index].computed)
            guard makeRoom(count, for: index) else { continue }
            running[index].underway = count
            budget -= count
        }
    }

    /// New sequences, from the keys that were served least; background work only where nobody else waits.
    private mutating func admit(_ budget: inout Int) {
        while budget > 0, let owner = nextOwner() {
            guard let sequence = owners[owner]?.waiting.first else { return }
            while running.count >= limits.sequences || !fits(sequence) {
                guard owner.isBackground ? false : displaceBackground() || displace(for: owner) else { return }
            }
            if owner.isBackground, running.count(where: \.isBackground) >= limits.backgroundSequences { return }
            owners[owner]?.waiting.removeFirst()
            guard let index = start(sequence, owner) else { continue }
            let count = min(budget, running[index].tokens.count - running[index].computed)
            guard makeRoom(count, for: index) else { return }
            running[index].underway = count
            budget -= count
        }
    }

    private func nextOwner() -> Owner.ID? {
        let waiting = owners.filter { !$0.value.waiting.isEmpty }
        let isIdle = !waiting.keys.contains { !$0.isBackground }
        return waiting.filter { $0.key.isBackground == isIdle }.min { first, second in
            let (a, b) = (first.value, second.value)
            return (a.served, a.running, first.key) < (b.served, b.running, second.key)
        }?.key
    }

    /// Gives a sequence its place.
    /// - Returns: its index in `running`.
    private mutating func start(_ sequence: Sequence, _ owner: Owner.ID) -> Int? {
        guard let request = requests[sequence.id.request] else { return nil }
        var sequence = sequence
        let root = pages.root(of: request.submission.tenant)
        let isWhole = request.submission.needsWholePrompt && sequence.id.choice == 0
        // The last token is computed in any case: its result chooses the next.
        let limit = isWhole || !limits.sharesPrefixes ? 0 : (sequence.tokens.count - 1) / CachePages.size
        (sequence.pages, sequence.chain) = pages.match(sequence.tokens, from: root, limit: limit)
        sequence.remembered = sequence.pages.count
        sequence.computed = sequence.pages.count * CachePages.size
        sequence.cached = min(sequence.computed, request.submission.prompt.count)
        let index = sequence.isBackground ? running.count : running.count { !$0.isBackground }
        running.insert(sequence, at: index)
        owners[owner]?.running += 1
        noteWaiting(owner, -1, tokens: sequence.id.choice == 0 ? -request.submission.prompt.count : 0)
        return index
    }

    /// Whether a sequence's tokens have room besides what the running ones still need for theirs.
    private func fits(_ sequence: Sequence) -> Bool {
        let reserved = running.reduce(0) { $0 + max(0, CachePages.count(for: $1.tokens.count) - $1.pages.count) }
        return CachePages.count(for: sequence.tokens.count) + reserved <= pages.availableCount || running.isEmpty
    }

    /// Gets pages for `count` more tokens of a running sequence, from younger ones where there are no others.
    private mutating func makeRoom(_ count: Int, for index: Int) -> Bool {
        while running[index].pages.count < CachePages.count(for: running[index].computed + count) {
            if let page = pages.take() {
                running[index].pages.append(page)
            } else if index + 1 < running.count {
                preempt(running.count - 1)
            } else {
                return false
            }
        }
        return true
    }

    /// Takes the place of the youngest background sequence.
    private mutating func displaceBackground() -> Bool {
        guard running.last?.isBackground == true else { return false }
        preempt(running.count - 1)
        return true
    }

    /// Takes a place from the key that holds most, for one that holds none, where that is more than its share.
    private mutating func displace(for owner: Owner.ID) -> Bool {
        guard owners[owner]?.running == 0,
            let heaviest = owners.max(by: { ($0.value.running, $0.key) < ($1.value.running, $1.key) })
        else { return false }
        let sharing = owners.filter { !$0.key.isBackground && $0.value.waitingCount + $0.value.running > 0 }.count
        guard heaviest.value.running > max(1, limits.sequences / max(1, sharing)),
            let index = running.lastIndex(where: { self.owner(of: $0) == heaviest.key })
        else { return false }
        preempt(index)
        return true
    }

    /// Puts a running sequence back to wait, at the head of its key's queue. Its pages stay known while they can.
    private mutating func preempt(_ index: Int) {
        var sequence = running.remove(at: index)
        guard let owner = owner(of: sequence) else { return pages.release(sequence.pages) }
        preempted.append(sequence.id)
        leave(sequence, owner)
        sequence.pages = []
        sequence.computed = 0
        sequence.remembered = 0
        sequence.underway = 0
        owners[owner]?.waiting.insert(sequence, at: 0)
        let prompt = requests[sequence.id.request]?.submission.prompt.count ?? 0
        noteWaiting(owner, 1, tokens: sequence.id.choice == 0 ? prompt : 0)
    }

    func owner(of sequence: Sequence) -> Owner.ID? { requests[sequence.id.request]?.submission.queue }
}
