import MartletWire
import Synchronization

/// A constraint over a vocabulary, with the masks that were computed: shared by all sequences that have both.
public final class ConstraintMachine: Sendable {
    public let constraint: CompiledConstraint
    public let index: TokenMaskIndex
    private let current: Mutex<ConstraintTables>

    public init(_ constraint: CompiledConstraint, _ index: TokenMaskIndex) {
        self.constraint = constraint
        self.index = index
        current = Mutex(ConstraintTables(constraint, index))
    }

    /// The state of a sequence that has not begun.
    public func start() throws -> ConstraintState {
        let tables = self.tables()
        return ConstraintState(machine: self, tables: tables, set: try tables.start())
    }

    /// The tables that new steps go to: fresh ones when the present are full.
    func tables() -> ConstraintTables {
        current.withLock { tables in
            if tables.isFull { tables = ConstraintTables(constraint, index) }
            return tables
        }
    }
}

/// The automaton of a machine and its masks, under one lock.
final class ConstraintTables: Sendable {
    private struct Content {
        var automaton: ConstraintAutomaton
        var masks: [Int32: [UInt64]] = [:]
        var maskWords = 0
    }

    /// Words of masks that are kept: 32 MB.
    private static let maximumWords = 1 << 22
    /// Places that one mask may look at: about a second.
    private static let maximumWork = 8_000_000
    private let index: TokenMaskIndex
    private let content: Mutex<Content>

    init(_ constraint: CompiledConstraint, _ index: TokenMaskIndex) {
        self.index = index
        content = Mutex(
            Content(
                automaton: ConstraintAutomaton(
                    constraint.grammar, classes: constraint.classes, limits: constraint.limits)))
    }

    var isFull: Bool { content.withLock { $0.automaton.isFull } }

    func start() throws -> Int32 { try content.withLock { try $0.automaton.start() } }

    func isEnd(_ set: Int32) -> Bool { content.withLock { $0.automaton.isEnd(set) } }

    func isFree(_ set: Int32) -> Bool { content.withLock { $0.automaton.isFree(set) } }

    func mustEnd(_ set: Int32) -> Bool {
        content.withLock { $0.automaton.isEnd(set) && $0.automaton.sets[Int(set)].places.isEmpty }
    }

    func distance(_ set: Int32) -> Int { content.withLock { Int($0.automaton.distances[Int(set)]) } }

    /// The set after a token; nil where the token is not allowed.
    func advanced(_ set: Int32, token: Int) throws -> Int32? {
        try content.withLock { content in
            let special = try content.automaton.step(set, token: token)
            if special != ConstraintAutomaton.dead { return special }
            guard !index.vocabulary.endTokens.contains(token) else { return nil }
            guard let bytes = index.vocabulary.bytes(of: token) else {
                return content.automaton.isFree(set) ? set : nil
            }
            var current = set
            for byte in bytes {
                current = try content.automaton.step(current, Int(content.automaton.classes.classes[Int(byte)]))
                if current == ConstraintAutomaton.dead { return nil }
            }
            return current
        }
    }

    func export(_ set: Int32) -> (places: [(state: Int32, frames: [ConstraintAutomaton.Frame])], isEnd: Bool) {
        content.withLock { $0.automaton.exported(set) }
    }

    func take(_ places: [(state: Int32, frames: [ConstraintAutomaton.Frame])], isEnd: Bool) throws -> Int32 {
        try content.withLock { try $0.automaton.imported(places, isEnd: isEnd) }
    }

    /// Sets the bits of the tokens that may follow.
    func mask(_ set: Int32, into words: inout [UInt64]) throws {
        try content.withLock { content in
            let key = try content.automaton.limiting(set, reach: Int32(index.reach))
            if let mask = content.masks[key] {
                words = mask
                return
            }
            var mask = [UInt64](repeating: 0, count: index.wordCount)
            try walk(key, &content.automaton, into: &mask) { _, _ in true }
            for token in content.automaton.tokens(of: key) { Self.set(token, in: &mask) }
            if content.automaton.isEnd(key) {
                for token in index.vocabulary.endTokens { Self.set(token, in: &mask) }
            }
            if content.automaton.isFree(key) {
                for token in 0..<index.vocabulary.count where index.vocabulary.bytes(of: token) == nil {
                    Self.set(token, in: &mask)
                }
            }
            if content.maskWords + mask.count > Self.maximumWords {
                content.masks = [:]
                content.maskWords = 0
            }
            content.masks[key] = mask
            content.maskWords += mask.count
            words = mask
        }
    }

    /// As `mask`, but only tokens each byte of which comes nearer to the end.
    func closingMask(_ set: Int32, into words: inout [UInt64]) throws {
        try content.withLock { content in
            words = [UInt64](repeating: 0, count: index.wordCount)
            if content.automaton.isEnd(set) {
                for token in index.vocabulary.endTokens { Self.set(token, in: &words) }
                return
            }
            try walk(set, &content.automaton, into: &words) { automaton, step in
                automaton.distances[Int(step.to)] < automaton.distances[Int(step.from)]
            }
            for token in content.automaton.tokens(of: set) {
                let next = try content.automaton.step(set, token: token)
                if content.automaton.distances[Int(next)] < content.automaton.distances[Int(set)] {
                    Self.set(token, in: &words)
                }
            }
        }
    }

    private static func set(_ token: Int, in words: inout [UInt64]) {
        guard words.indices.contains(token >> 6) else { return }
        words[token >> 6] |= 1 << UInt64(token & 63)
    }

    /// Walks the vocabulary's tree along the automaton, and leaves out what lies below a dead end.
    private func walk(
        _ set: Int32, _ automaton: inout ConstraintAutomaton, into words: inout [UInt64],
        where accepts: (ConstraintAutomaton, (from: Int32, to: Int32)) -> Bool
    ) throws {
        let limit = automaton.work + Self.maximumWork
        var path = [Int32](repeating: set, count: index.reach + 1)
        var node = 0
        let count = index.bytes.count
        while node < count {
            let depth = Int(index.depths[node])
            let byteClass = Int(automaton.classes.classes[Int(index.bytes[node])])
            let next = try automaton.step(path[depth], byteClass)
            guard next != ConstraintAutomaton.dead, accepts(automaton, (path[depth], next)) else {
                node = Int(index.ends[node])
                continue
            }
            guard automaton.work < limit else {
                throw MartletError(
                    .invalidRequest, "the schema or pattern takes too long to follow; make it simpler")
            }
            path[depth + 1] = next
            for place in Int(index.tokenStarts[node])..<Int(index.tokenStarts[node + 1]) {
                Self.set(Int(index.tokens[place]), in: &words)
            }
            node += 1
        }
    }
}
