import MartletWire

/// A grammar run over bytes, made deterministic as it is walked: every set of places where an answer can be has a number,
/// and what a byte does to it is looked up once.
///
/// A value for one owner; `ConstraintMachine` shares it under a lock.
struct ConstraintAutomaton {
    /// A place: a state and the rules and repetitions around it.
    struct Place: Hashable {
        var state: Int32
        var stack: Int32
    }

    struct Frame: Hashable {
        var parent: Int32
        /// Where a rule goes on, or -1 for a repetition.
        var next: Int32
        var repetition: Int32
        /// Passes that must and that may still begin, the present one counted.
        var minimum: Int32
        var maximum: Int32
    }

    struct Key: Hashable {
        var places: [Place]
        var isEnd: Bool
    }

    static let dead: Int32 = 0
    private static let unknown: Int32 = -1

    let grammar: ConstraintGrammar
    let limits: ConstraintLimits
    let classes: ByteClasses
    private(set) var frames: [Frame] = []
    private var frameDistances: [Int32] = []
    private var frameDepths: [Int32] = []
    private var frameNumbers: [Frame: Int32] = [:]
    private(set) var sets: [Key] = []
    private(set) var distances: [Int32] = []
    private var setNumbers: [Key: Int32] = [:]
    private var rows: [Int32] = []
    private var limited: [Int32: Int32] = [:]
    /// Places looked at: what bounds the work of one call.
    private(set) var work = 0

    init(_ grammar: ConstraintGrammar, classes: ByteClasses, limits: ConstraintLimits) {
        self.grammar = grammar
        self.limits = limits
        self.classes = classes
        _ = number(of: Key(places: [], isEnd: false), distance: ConstraintGrammar.unreachable)
    }

    var isFull: Bool { rows.count > 1 << 23 || sets.count > 60_000 || frames.count > 400_000 }

    mutating func start() throws -> Int32 { try closure([Place(state: grammar.start, stack: -1)]) }

    /// The set after a byte of class `byteClass`; `dead` where none is left.
    mutating func step(_ set: Int32, _ byteClass: Int) throws -> Int32 {
        let cell = Int(set) * classes.count + byteClass
        if rows[cell] != Self.unknown { return rows[cell] }
        let byte = classes.representatives[byteClass]
        var places: [Place] = []
        for place in sets[Int(set)].places {
            for edge in grammar.states[Int(place.state)].edges where edge.low <= byte && byte <= edge.high {
                places.append(Place(state: edge.target, stack: place.stack))
            }
        }
        let next = try closure(places)
        rows[cell] = next
        return next
    }

    /// The set after a special token.
    mutating func step(_ set: Int32, token: Int) throws -> Int32 {
        var places: [Place] = []
        for place in sets[Int(set)].places {
            for (number, target) in grammar.states[Int(place.state)].tokens where Int(number) == token {
                places.append(Place(state: target, stack: place.stack))
            }
        }
        return try closure(places)
    }

    func tokens(of set: Int32) -> [Int] {
        sets[Int(set)].places.flatMap { place in grammar.states[Int(place.state)].tokens.map { Int($0.token) } }
    }

    func isEnd(_ set: Int32) -> Bool { sets[Int(set)].isEnd }

    func isFree(_ set: Int32) -> Bool { sets[Int(set)].places.contains { grammar.states[Int($0.state)].isFree } }

    // MARK: Places

    private func distance(_ place: Place) -> Int32 {
        let around = place.stack < 0 ? 0 : frameDistances[Int(place.stack)]
        return ConstraintGrammar.sum(grammar.distances[Int(place.state)], around)
    }

    private mutating func push(_ frame: Frame) -> Int32 {
        if let number = frameNumbers[frame] { return number }
        let number = Int32(frames.count)
        frames.append(frame)
        frameNumbers[frame] = number
        let around = frame.parent < 0 ? 0 : frameDistances[Int(frame.parent)]
        let depth = frame.parent < 0 ? 0 : frameDepths[Int(frame.parent)]
        let own: Int32
        if frame.next >= 0 {
            own = grammar.distances[Int(frame.next)]
        } else {
            let repetition = grammar.repetitions[Int(frame.repetition)]
            let passes = grammar.distance(of: repetition, minimum: frame.minimum - 1, isFirst: false)
            own = ConstraintGrammar.sum(passes, grammar.distances[Int(repetition.exit)])
        }
        frameDistances.append(ConstraintGrammar.sum(own, around))
        frameDepths.append(frame.next >= 0 ? depth + 1 : depth)
        return number
    }

    /// Everything that can be reached from `seeds` without a byte, as the number of a set.
    private mutating func closure(_ seeds: [Place]) throws -> Int32 {
        var seen: Set<Place> = []
        var open = seeds
        var found: [Place] = []
        var isEnd = false
        while let place = open.popLast() {
            guard distance(place) < ConstraintGrammar.unreachable, seen.insert(place).inserted else { continue }
            work += 1
            guard seen.count <= limits.ways * 16 else { throw Self.tooManyWays }
            let state = grammar.states[Int(place.state)]
            if !state.edges.isEmpty || !state.tokens.isEmpty { found.append(place) }
            for target in state.free { open.append(Place(state: target, stack: place.stack)) }
            if let call = state.call {
                let frame = Frame(parent: place.stack, next: call.next, repetition: -1, minimum: 0, maximum: 0)
                open.append(Place(state: grammar.rules[Int(call.rule)], stack: push(frame)))
            }
            if let number = state.repetition {
                let repetition = grammar.repetitions[Int(number)]
                if repetition.minimum == 0 { open.append(Place(state: repetition.exit, stack: place.stack)) }
                let frame = Frame(
                    parent: place.stack, next: -1, repetition: number, minimum: max(1, repetition.minimum),
                    maximum: repetition.maximum)
                open.append(Place(state: repetition.first, stack: push(frame)))
            }
            guard state.isReturn else { continue }
            guard place.stack >= 0 else {
                isEnd = true
                continue
            }
            let frame = frames[Int(place.stack)]
            guard frame.next < 0 else {
                open.append(Place(state: frame.next, stack: frame.parent))
                continue
            }
            let repetition = grammar.repetitions[Int(frame.repetition)]
            if frame.minimum <= 1 { open.append(Place(state: repetition.exit, stack: frame.parent)) }
            guard frame.maximum > 1 else { continue }
            var again = frame
            again.minimum = max(1, frame.minimum - 1)
            if frame.maximum != ConstraintGrammar.unbounded { again.maximum -= 1 }
            open.append(Place(state: repetition.again, stack: push(again)))
        }
        guard !found.isEmpty || isEnd else { return Self.dead }
        return try set(shallow(found), isEnd)
    }

    /// Without the places that lie too deep in recursion, unless only those are left: then the nearest to the end.
    private func shallow(_ places: [Place]) -> [Place] {
        func isDeep(_ place: Place) -> Bool { place.stack >= 0 && Int(frameDepths[Int(place.stack)]) > limits.depth }
        guard places.contains(where: isDeep) else { return places }
        let near = places.filter { !isDeep($0) }
        guard near.isEmpty else { return near }
        let least = places.map { distance($0) }.min()
        return places.filter { distance($0) == least }
    }

    private mutating func set(_ places: [Place], _ isEnd: Bool) throws -> Int32 {
        guard places.count <= limits.ways else { throw Self.tooManyWays }
        let sorted = places.sorted { ($0.state, $0.stack) < ($1.state, $1.stack) }
        let key = Key(places: sorted, isEnd: isEnd)
        if let number = setNumbers[key] { return number }
        let distance = isEnd ? 0 : sorted.map { self.distance($0) }.min() ?? ConstraintGrammar.unreachable
        return number(of: key, distance: distance)
    }

    private mutating func number(of key: Key, distance: Int32) -> Int32 {
        let number = Int32(sets.count)
        sets.append(key)
        distances.append(distance)
        setNumbers[key] = number
        rows += [Int32](repeating: number == Self.dead ? Self.dead : Self.unknown, count: classes.count)
        return number
    }

    private static var tooManyWays: MartletError {
        MartletError(
            .invalidRequest,
            "the schema or pattern can be read in too many ways at once; make its choices differ sooner")
    }

    // MARK: Counts

    /// The set with counts that no token of `reach` bytes can exhaust made equal, so that their masks are shared.
    mutating func limiting(_ set: Int32, reach: Int32) throws -> Int32 {
        if let found = limited[set] { return found }
        var memo: [Int32: Int32] = [:]
        let key = sets[Int(set)]
        let places = key.places.map { Place(state: $0.state, stack: limitedStack($0.stack, reach, &memo)) }
        var unique: [Place] = []
        var seen: Set<Place> = []
        for place in places where seen.insert(place).inserted { unique.append(place) }
        let found = try self.set(unique, key.isEnd)
        limited[set] = found
        return found
    }

    private mutating func limitedStack(_ stack: Int32, _ reach: Int32, _ memo: inout [Int32: Int32]) -> Int32 {
        // From the outermost frame inwards, without recursion.
        var chain: [Int32] = []
        var current = stack
        while current >= 0, memo[current] == nil {
            chain.append(current)
            current = frames[Int(current)].parent
        }
        var parent = current < 0 ? -1 : memo[current] ?? -1
        for number in chain.reversed() {
            var frame = frames[Int(number)]
            frame.parent = parent
            if frame.next < 0 {
                frame.minimum = min(frame.minimum, reach + 2)
                if frame.maximum != ConstraintGrammar.unbounded { frame.maximum = min(frame.maximum, reach + 2) }
            }
            parent = push(frame)
            memo[number] = parent
        }
        return parent
    }

    // MARK: Moving to a fresh automaton

    /// A set as values that another automaton of the same grammar can take.
    func exported(_ set: Int32) -> (places: [(state: Int32, frames: [Frame])], isEnd: Bool) {
        let key = sets[Int(set)]
        return (
            key.places.map { place in
                var chain: [Frame] = []
                var current = place.stack
                while current >= 0 {
                    chain.append(frames[Int(current)])
                    current = frames[Int(current)].parent
                }
                return (place.state, chain.reversed())
            }, key.isEnd
        )
    }

    mutating func imported(_ places: [(state: Int32, frames: [Frame])], isEnd: Bool) throws -> Int32 {
        let own = places.map { place in
            var stack: Int32 = -1
            for frame in place.frames {
                var frame = frame
                frame.parent = stack
                stack = push(frame)
            }
            return Place(state: place.state, stack: stack)
        }
        return try set(own, isEnd)
    }
}

/// Bytes that no edge of a grammar tells apart share a class.
struct ByteClasses: Sendable {
    let classes: [UInt8]
    let representatives: [UInt8]
    var count: Int { representatives.count }

    init(_ grammar: ConstraintGrammar) {
        var isBorder = [Bool](repeating: false, count: 257)
        for state in grammar.states {
            for edge in state.edges {
                isBorder[Int(edge.low)] = true
                isBorder[Int(edge.high) + 1] = true
            }
        }
        var classes = [UInt8](repeating: 0, count: 256)
        var representatives: [UInt8] = [0]
        for byte in 1..<256 {
            if isBorder[byte] { representatives.append(UInt8(byte)) }
            classes[byte] = UInt8(representatives.count - 1)
        }
        self.classes = classes
        self.representatives = representatives
    }
}
