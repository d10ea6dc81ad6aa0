import MartletWire

/// Where one sequence is in its constraint: a value, copied with the sequence.
public struct ConstraintState: Sendable {
    private let machine: ConstraintMachine
    private var tables: ConstraintTables
    private var set: Int32
    /// Whether an end token was taken.
    public private(set) var hasEnded = false

    init(machine: ConstraintMachine, tables: ConstraintTables, set: Int32) {
        self.machine = machine
        self.tables = tables
        self.set = set
    }

    /// Whether what is written so far is a whole answer: end tokens are allowed.
    public var canEnd: Bool { tables.isEnd(set) }

    /// Whether what is written so far is text that may go on in any way, as a call for example.
    public var isFree: Bool { tables.isFree(set) }

    /// Whether nothing can follow but the end.
    public var mustEnd: Bool { hasEnded || tables.mustEnd(set) }

    /// The fewest bytes (a marker's special token counts as one) that make the answer whole; 0 where it is.
    public var closingDistance: Int { tables.distance(set) }

    /// Sets one bit for each token that may come next (`TokenMaskIndex.wordCount` words, token 0 the lowest bit), end
    /// tokens among them only where the answer is whole. No bit is set where the vocabulary lacks the bytes to go on.
    /// Throws `invalidRequest` for a constraint too ambiguous to follow.
    public func mask(into words: inout [UInt64]) throws {
        guard !hasEnded else {
            words = [UInt64](repeating: 0, count: machine.index.wordCount)
            return
        }
        try tables.mask(set, into: &words)
    }

    /// As `mask`, but only tokens that lead straight to the end, each byte one nearer: with a vocabulary that has every
    /// byte, `closingDistance` such tokens at most and an end token make the answer whole.
    public func closingMask(into words: inout [UInt64]) throws {
        guard !hasEnded else {
            words = [UInt64](repeating: 0, count: machine.index.wordCount)
            return
        }
        try tables.closingMask(set, into: &words)
    }

    /// Takes the token that was chosen. Throws `internal` for one that the mask does not allow.
    public mutating func advance(token: Int) throws {
        guard try take(token) else { throw Self.refusal(of: token) }
    }

    static func refusal(of token: Int) -> MartletError {
        MartletError(.internal, "the token \(token) is not allowed by the constraint at this place")
    }

    /// Takes a token where the mask allows it.
    /// - Returns: whether it did.
    public mutating func take(_ token: Int) throws -> Bool {
        if !hasEnded, canEnd, machine.index.vocabulary.endTokens.contains(token) {
            hasEnded = true
            return true
        }
        let fresh = machine.tables()
        if fresh !== tables {
            let (places, isEnd) = tables.export(set)
            set = try fresh.take(places, isEnd: isEnd)
            tables = fresh
        }
        guard !hasEnded, let next = try tables.advanced(set, token: token) else { return false }
        set = next
        return true
    }
}
