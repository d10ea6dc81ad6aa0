import MartletWire

/// What becomes of the matches when a text is cut at them.
enum SplitBehavior: String, Sendable {
    case removed = "Removed"
    case isolated = "Isolated"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"

    init(_ json: JSON?, default standard: SplitBehavior? = nil) throws {
        if let name = json?.string, let known = SplitBehavior(rawValue: name) {
            self = known
        } else if json == nil, let standard {
            self = standard
        } else {
            throw TokenizerReader.unknown(json?.string ?? "", "split behavior")
        }
    }
}

/// Cuts a piece at its matches, which come one by one and in order, and leaves the empty parts out.
struct SplitCutter {
    private let behavior: SplitBehavior
    private let inverted: Bool
    private var last: Int
    /// The part that the next one may join, and whether the span that it ends with is a match.
    private var open: (start: Int, end: Int)?
    private var endsWithMatch = false

    init(_ behavior: SplitBehavior, from start: Int, inverted: Bool) {
        self.behavior = behavior
        self.inverted = inverted
        last = start
    }

    @inline(__always)
    mutating func match(_ start: Int, _ end: Int, into out: inout [Piece]) {
        if start > last { add(last, start, isMatch: inverted, into: &out) }
        add(start, end, isMatch: !inverted, into: &out)
        last = end
    }

    mutating func finish(_ end: Int, into out: inout [Piece]) {
        if last < end { add(last, end, isMatch: inverted, into: &out) }
        if let open { Self.put(open.start, open.end, into: &out) }
    }

    @inline(__always)
    private mutating func add(_ start: Int, _ end: Int, isMatch: Bool, into out: inout [Piece]) {
        switch behavior {
        case .isolated: Self.put(start, end, into: &out)
        case .removed: if !isMatch { Self.put(start, end, into: &out) }
        case .contiguous: join(start, end, isMatch, isMatch == endsWithMatch, into: &out)
        case .mergedWithPrevious: join(start, end, isMatch, isMatch && !endsWithMatch, into: &out)
        case .mergedWithNext: join(start, end, isMatch, endsWithMatch && !isMatch, into: &out)
        }
    }

    private mutating func join(_ start: Int, _ end: Int, _ isMatch: Bool, _ joins: Bool, into out: inout [Piece]) {
        endsWithMatch = isMatch
        if joins, let before = open {
            open = (before.start, end)
        } else {
            if let open { Self.put(open.start, open.end, into: &out) }
            open = (start, end)
        }
    }

    @inline(__always)
    private static func put(_ start: Int, _ end: Int, into out: inout [Piece]) {
        if start < end { out.append(Piece(start: start, end: end)) }
    }
}
