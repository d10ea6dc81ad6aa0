import MartletWire

/// Decides which tokens of which sequences go through the model together. A value: it holds no tensors and looks at
/// no clock.
///
/// Every pass takes one token of each sequence that is being answered and, up to a budget, parts of prompts. Sequences
/// join and leave between passes. Where the cache is full, the youngest sequence gives its pages back and is computed
/// again later; a key that waits gets a place from a key that holds more than its share.
///
/// Background sequences fill gaps: one starts only where nobody else waits, they hold a share of the places at most, and
/// they give place and pages back to whoever comes.
public struct LanguageScheduler {
    public let limits: Limits
    /// Most tokens of prompts in a pass, as the model's pace allows; those of answers always go.
    public var promptTokens = Int.max
    public internal(set) var pages: CachePages
    var requests: [RequestID: Request] = [:]
    var owners: [Owner.ID: Owner] = [:]
    /// In the order in which they got their places, background work behind the rest.
    var running: [Sequence] = []
    var preempted: [SequenceID] = []
    public private(set) var waitingCount = 0
    public private(set) var waitingTokens = 0

    public init(limits: Limits, pageCount: Int) {
        self.limits = limits
        pages = CachePages(count: pageCount)
    }

    public var runningCount: Int { running.count }

    /// Whether there is nothing to compute.
    public var isIdle: Bool { requests.isEmpty }

    /// Takes a request in.
    /// - Throws: `unavailable` where the queue is full, `rateLimited` where the key's part of it is, and
    ///   `contextLengthExceeded` where the cache could never hold it.
    public mutating func submit(_ submission: Submission) throws {
        let count = submission.choiceCount
        guard submission.prompt.count + submission.maxTokens <= pages.count * CachePages.size else {
            throw MartletError(
                .contextLengthExceeded,
                "a prompt of \(submission.prompt.count) tokens and an answer of \(submission.maxTokens) are more than "
                    + "the \(pages.count * CachePages.size) that the cache holds; ask for a shorter answer")
        }
        let queue = submission.queue
        guard (owners[queue]?.waitingCount ?? 0) + count <= limits.waitingPerOwner else {
            throw MartletError(
                .rateLimited,
                "this key has \(owners[queue]?.waitingCount ?? 0) answers waiting, and \(count) more are "
                    + "over its limit of \(limits.waitingPerOwner); try again when some have come")
        }
        // Background work leaves half of the queue to those that somebody waits for.
        let part = submission.isBackground ? 2 : 1
        let (most, mostTokens) = (max(1, limits.waiting / part), limits.waitingTokens / part)
        guard waitingCount + count <= most else {
            throw MartletError(
                .unavailable, "\(waitingCount) answers wait already, and \(most) may; try again in a moment")
        }
        guard waitingTokens + submission.prompt.count <= mostTokens || waitingCount == 0 else {
            throw MartletError(
                .unavailable,
                "prompts of \(waitingTokens) tokens wait already, and \(mostTokens) may; try again in a moment")
        }
        requests[submission.id] = Request(submission: submission, open: count, holdsChoices: count > 1)
        arrive(queue)
        owners[queue, default: Owner()].waiting.append(Self.sequence(submission, choice: 0))
        noteWaiting(queue, count, tokens: submission.prompt.count)
    }

    private static func sequence(_ submission: Submission, choice: Int) -> Sequence {
        Sequence(
            id: SequenceID(request: submission.id, choice: choice), tokens: submission.prompt,
            isBackground: submission.isBackground)
    }

    /// Forgets a request; its places are free from the next pass on.
    public mutating func cancel(_ id: RequestID) {
        guard let request = requests.removeValue(forKey: id) else { return }
        let owner = request.submission.queue
        let waiting = owners[owner]?.waiting.filter { $0.id.request == id } ?? []
        owners[owner]?.waiting.removeAll { $0.id.request == id }
        let held = request.holdsChoices ? request.submission.choiceCount - 1 : 0
        let first = waiting.contains { $0.id.choice == 0 }
        noteWaiting(
            owner, -(waiting.count + held), tokens: first ? -request.submission.prompt.count : 0)
        for sequence in running where sequence.id.request == id { leave(sequence, owner) }
        running.removeAll { $0.id.request == id }
        depart(owner)
    }

    /// The next token of a sequence.
    public mutating func append(_ token: Int32, to id: SequenceID) {
        guard let index = running.firstIndex(where: { $0.id == id }) else { return }
        running[index].tokens.append(token)
        releaseChoices(of: id.request)
    }

    /// A sequence has all its tokens.
    public mutating func finish(_ id: SequenceID) {
        guard let index = running.firstIndex(where: { $0.id == id }), var request = requests[id.request] else { return }
        releaseChoices(of: id.request)
        request.holdsChoices = false
        let owner = request.submission.queue
        leave(running.remove(at: index), owner)
        request.open -= 1
        requests[id.request] = request.open == 0 ? nil : request
        depart(owner)
    }

    /// What `next` gave has been computed.
    public mutating func computed() {
        for index in running.indices where running[index].underway > 0 {
            let count = running[index].underway
            if let owner = owner(of: running[index]) {
                owners[owner]?.served += count == 1 ? limits.answerWeight : Double(count)
            }
            running[index].underway = 0
            running[index].computed += count
            remember(index)
        }
    }

    /// Notes which full pages of a sequence others can read.
    private mutating func remember(_ index: Int) {
        guard limits.sharesPrefixes else { return }
        let size = CachePages.size
        while (running[index].remembered + 1) * size <= running[index].computed {
            let start = running[index].remembered * size
            running[index].chain = pages.remember(
                running[index].pages[running[index].remembered], running[index].tokens[start..<start + size],
                after: running[index].chain)
            running[index].remembered += 1
        }
    }

    /// The prompt is in the cache: the other choices read it there.
    private mutating func releaseChoices(of id: RequestID) {
        guard let request = requests[id], request.holdsChoices else { return }
        requests[id]?.holdsChoices = false
        let others = (1..<request.submission.choiceCount).map { Self.sequence(request.submission, choice: $0) }
        owners[request.submission.queue]?.waiting.insert(contentsOf: others, at: 0)
    }

    /// Gives a running sequence's pages and place back.
    mutating func leave(_ sequence: Sequence, _ owner: Owner.ID) {
        pages.release(sequence.pages)
        owners[owner]?.running -= 1
    }

    mutating func noteWaiting(_ owner: Owner.ID, _ count: Int, tokens: Int) {
        owners[owner]?.waitingCount += count
        waitingCount += count
        waitingTokens += tokens
    }

    /// A key that was away starts level with the one that was served least, and so gains nothing by pausing.
    private mutating func arrive(_ owner: Owner.ID) {
        if requests.count == 1 { owners = owners.filter { $0.value.waitingCount + $0.value.running > 0 } }
        guard (owners[owner]?.waitingCount ?? 0) + (owners[owner]?.running ?? 0) == 0 else { return }
        let least = owners.filter { $0.value.waitingCount + $0.value.running > 0 }.map(\.value.served).min() ?? 0
        owners[owner, default: Owner()].served = max(owners[owner]?.served ?? 0, least)
    }

    /// A key with nothing left is remembered only while it is ahead of the others.
    private mutating func depart(_ owner: Owner.ID) {
        guard let state = owners[owner], state.waitingCount + state.running == 0 else { return }
        let least = owners.filter { $0.value.waitingCount + $0.value.running > 0 }.map(\.value.served).min()
        if state.served <= least ?? .infinity { owners[owner] = nil }
    }
}
