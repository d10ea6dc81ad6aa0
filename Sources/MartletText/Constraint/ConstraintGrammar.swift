/// What an answer may be, as an automaton over bytes whose states can call rules and repeat parts a counted number of
/// times. Built once for a schema; immutable then.
struct ConstraintGrammar: Sendable {
    struct Edge: Sendable {
        var low: UInt8
        var high: UInt8
        var target: Int32
    }

    struct State: Sendable {
        var edges: [Edge] = []
        /// States reached without a byte.
        var free: [Int32] = []
        /// A special token that moves on, where the vocabulary has one for a marker.
        var tokens: [(token: Int32, target: Int32)] = []
        /// The rule to run from here, and where to go on after it.
        var call: (rule: Int32, next: Int32)?
        var repetition: Int32?
        /// The end of a rule or of a repeated part.
        var isReturn = false
        /// Whether it is one of free text, in which tokens that add no text change nothing.
        var isFree = false
    }

    /// A part that comes `minimum` to `maximum` times. Each pass takes at least one byte.
    struct Repetition: Sendable {
        var first: Int32
        /// Where a further pass begins: the separator.
        var again: Int32
        var minimum: Int32
        var maximum: Int32
        var exit: Int32
    }

    static let unbounded = Int32.max
    static let unreachable = Int32.max / 4

    var states: [State] = []
    var repetitions: [Repetition] = []
    /// The first state of each rule.
    var rules: [Int32] = []
    var start: Int32 = 0
    /// The fewest bytes from each state to the end of its rule or part.
    var distances: [Int32] = []

    /// The fewest bytes that `repetition` takes when `minimum` passes are still to come.
    func distance(of repetition: Repetition, minimum: Int32, isFirst: Bool) -> Int32 {
        guard minimum > 0 else { return 0 }
        let first = distances[Int(isFirst ? repetition.first : repetition.again)]
        return Self.sum(first, Self.product(distances[Int(repetition.again)], minimum - 1))
    }

    static func sum(_ left: Int32, _ right: Int32) -> Int32 {
        left >= unreachable || right >= unreachable ? unreachable : min(left + right, unreachable - 1)
    }

    static func product(_ left: Int32, _ right: Int32) -> Int32 {
        guard right > 0 else { return 0 }
        guard left < unreachable else { return unreachable }
        return Int32(min(Int64(left) * Int64(right), Int64(unreachable) - 1))
    }
}
