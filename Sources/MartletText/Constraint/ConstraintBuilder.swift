import MartletWire

/// Makes a grammar piece by piece. Each function takes the state where a piece begins and gives the state where it ends.
struct ConstraintBuilder {
    var grammar = ConstraintGrammar()
    let limits: ConstraintLimits
    private let deadline: ContinuousClock.Instant
    var memo = ConstraintRuleMemo()
    /// Whether a function takes any object where its schema cannot be held to: where it is the model that chooses calls.
    var loosensTools = false

    init(limits: ConstraintLimits) {
        self.limits = limits
        deadline = ContinuousClock.now + limits.time
    }

    mutating func state() throws -> Int {
        let count = grammar.states.count
        guard count < limits.states else {
            throw MartletError(
                .invalidRequest,
                "the schema or pattern is too large: it takes more than \(limits.states) states; make it smaller")
        }
        if count % 1024 == 0 { try checkTime() }
        grammar.states.append(ConstraintGrammar.State())
        return count
    }

    func checkTime() throws {
        guard ContinuousClock.now < deadline else {
            throw MartletError(.invalidRequest, "the schema or pattern takes too long to read; make it simpler")
        }
    }

    mutating func join(_ from: Int, _ to: Int) { grammar.states[from].free.append(Int32(to)) }

    mutating func edge(_ from: Int, _ low: UInt8, _ high: UInt8, to: Int) {
        grammar.states[from].edges.append(.init(low: low, high: high, target: Int32(to)))
    }

    mutating func byte(_ from: Int, _ low: UInt8, _ high: UInt8) throws -> Int {
        let to = try state()
        edge(from, low, high, to: to)
        return to
    }

    mutating func literal(_ text: String, from: Int) throws -> Int {
        var current = from
        for byte in text.utf8 { current = try self.byte(current, byte, byte) }
        return current
    }

    mutating func optional(_ text: String, from: Int) throws -> Int {
        let end = try literal(text, from: from)
        join(from, end)
        return end
    }

    mutating func alternatives(
        _ count: Int, from: Int, _ build: (inout ConstraintBuilder, Int, Int) throws -> Int
    ) throws -> Int {
        let end = try state()
        for index in 0..<count {
            let start = try state()
            join(from, start)
            join(try build(&self, index, start), end)
        }
        return end
    }

    /// A part any number of times, none included.
    mutating func star(from: Int, _ build: (inout ConstraintBuilder, Int) throws -> Int) throws -> Int {
        let hub = try state()
        join(from, hub)
        let start = try state()
        join(hub, start)
        join(try build(&self, start), hub)
        let end = try state()
        join(hub, end)
        return end
    }

    /// A repeated part that is being built: its states before the part itself.
    struct OpenRepetition {
        let entry: Int
        let first: Int
        let again: Int
    }

    mutating func openRepetition(separatedBy mark: String? = nil, from: Int) throws -> OpenRepetition {
        let entry = try state()
        join(from, entry)
        let first = try state()
        guard let mark else { return OpenRepetition(entry: entry, first: first, again: first) }
        let again = try state()
        join(try separator(mark, from: again), first)
        return OpenRepetition(entry: entry, first: first, again: again)
    }

    /// Ends a part that comes a counted number of times; it must take at least one byte.
    mutating func close(_ open: OpenRepetition, at end: Int, minimum: Int, maximum: Int?) throws -> Int {
        let last = try state()
        join(end, last)
        grammar.states[last].isReturn = true
        let exit = try state()
        let cap = Int(ConstraintGrammar.unbounded) - 1
        grammar.repetitions.append(
            .init(
                first: Int32(open.first), again: Int32(open.again), minimum: Int32(min(minimum, cap)),
                maximum: maximum.map { Int32(min($0, cap)) } ?? ConstraintGrammar.unbounded, exit: Int32(exit)))
        grammar.states[open.entry].repetition = Int32(grammar.repetitions.count - 1)
        return exit
    }

    mutating func repeated(
        minimum: Int, maximum: Int?, separatedBy mark: String? = nil, from: Int,
        _ build: (inout ConstraintBuilder, Int) throws -> Int
    ) throws -> Int {
        if let maximum, maximum <= 0 { return from }
        let open = try openRepetition(separatedBy: mark, from: from)
        return try close(open, at: try build(&self, open.first), minimum: minimum, maximum: maximum)
    }

    /// A place to come back to where what was begun from a state cannot be built.
    struct Checkpoint {
        fileprivate let from: Int
        fileprivate let state: ConstraintGrammar.State
        fileprivate let stateCount: Int
        fileprivate let repetitionCount: Int
        fileprivate let ruleCount: Int
        fileprivate let memo: ConstraintRuleMemo
    }

    func checkpoint(at from: Int) -> Checkpoint {
        Checkpoint(
            from: from, state: grammar.states[from], stateCount: grammar.states.count,
            repetitionCount: grammar.repetitions.count, ruleCount: grammar.rules.count, memo: memo)
    }

    /// Forgets what was built since; nothing but the checkpoint's own state led to it.
    mutating func goBack(to place: Checkpoint) {
        grammar.states.removeLast(grammar.states.count - place.stateCount)
        grammar.repetitions.removeLast(grammar.repetitions.count - place.repetitionCount)
        grammar.rules.removeLast(grammar.rules.count - place.ruleCount)
        grammar.states[place.from] = place.state
        memo = place.memo
    }

    /// A new rule with its first state, to be built later.
    mutating func newRule() throws -> Int {
        grammar.rules.append(Int32(try state()))
        return grammar.rules.count - 1
    }

    mutating func finishRule(at end: Int) { grammar.states[end].isReturn = true }

    mutating func call(_ rule: Int, from: Int) throws -> Int {
        let entry = try state()
        join(from, entry)
        let next = try state()
        grammar.states[entry].call = (Int32(rule), Int32(next))
        return next
    }

    /// Text that a special token stands for, where the vocabulary has one; else its bytes.
    mutating func marker(_ text: String, token: Int?, from: Int) throws -> Int {
        guard let token = token.flatMap({ Int32(exactly: $0) }) else { return try literal(text, from: from) }
        let to = try state()
        grammar.states[from].tokens.append((token, Int32(to)))
        return to
    }

    /// The whole, checked: it must have an end, and no rule may begin with itself.
    consuming func finished(start: Int, end: Int) throws -> ConstraintGrammar {
        grammar.start = Int32(start)
        grammar.states[end].isReturn = true
        grammar.distances = ConstraintDistances.shortest(grammar)
        try checkTime()
        guard grammar.distances[start] < ConstraintGrammar.unreachable else {
            throw MartletError(
                .invalidRequest, "no finite answer fits the schema: a '$ref' or an empty choice never ends")
        }
        // Counted lengths that are past all bounds: no answer could be brought to its end in any number of tokens.
        guard !grammar.distances.contains(where: { (1 << 24..<ConstraintGrammar.unreachable).contains($0) }) else {
            throw MartletError(
                .invalidRequest,
                "the schema asks for an answer of more than \(1 << 24) bytes; lower its 'minItems' or 'minLength'",
                param: "schema")
        }
        try ConstraintDistances.refuseLeftRecursion(grammar)
        return grammar
    }
}

/// Rules that several places of a schema share.
struct ConstraintRuleMemo {
    var value: Int?
    var string: Int?
    var number: Int?
    var references: [String: Int] = [:]
    /// References whose rules are still to be built.
    var pending: [(pointer: String, rule: Int)] = []
}
