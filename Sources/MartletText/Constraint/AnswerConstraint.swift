/// What holds an answer: one constraint, or two of which it follows the one that it turns out to begin.
///
/// A value, copied with the sequence, as `ConstraintState` is, whose properties and functions these are.
public struct AnswerConstraint: Sendable {
    public enum Kind: Sendable { case text, calls }

    private struct Part: Sendable {
        let kind: Kind
        var state: ConstraintState
    }

    /// What the answer can still be.
    private var open: [Part]

    /// Held to one constraint. `calls` is the kind of one that nothing but calls fits.
    public init(_ state: ConstraintState, kind: Kind = .text) { open = [Part(kind: kind, state: state)] }

    /// Held to `text` or to `calls`. What fits both to its end has no kind.
    public init(text: ConstraintState, orCalls calls: ConstraintState) {
        open = [Part(kind: .text, state: text), Part(kind: .calls, state: calls)]
    }

    /// What the answer is; nil while it can be either.
    public var kind: Kind? { open.count == 1 ? open[0].kind : nil }

    public var canEnd: Bool { open.contains { $0.state.canEnd } }

    public var isFree: Bool { open.contains { $0.state.isFree } }

    public var hasEnded: Bool { open.contains { $0.state.hasEnded } }

    public var mustEnd: Bool { open.allSatisfy { $0.state.mustEnd } }

    public var closingDistance: Int { open.map(\.state.closingDistance).min() ?? 0 }

    public func mask(into words: inout [UInt64]) throws {
        try open[0].state.mask(into: &words)
        var more: [UInt64] = []
        for part in open.dropFirst() {
            try part.state.mask(into: &more)
            for index in words.indices { words[index] |= more[index] }
        }
    }

    /// Tokens that lead straight to the end that is nearest.
    public func closingMask(into words: inout [UInt64]) throws {
        let nearest = open.min { $0.state.closingDistance < $1.state.closingDistance }
        try nearest?.state.closingMask(into: &words)
    }

    public mutating func advance(token: Int) throws {
        guard try take(token) else { throw ConstraintState.refusal(of: token) }
    }

    /// Takes a token where a mask allows it; a constraint whose mask does not is left behind then.
    /// - Returns: whether it did.
    public mutating func take(_ token: Int) throws -> Bool {
        guard open.count > 1 else { return try open[0].state.take(token) }
        let kept = try open.compactMap { part -> Part? in
            var part = part
            return try part.state.take(token) ? part : nil
        }
        guard !kept.isEmpty else { return false }
        open = kept
        return true
    }
}
