import MartletWire

/// A compiled pattern: steps for `RegexMatcher`.
package struct RegexProgram: Sendable {
    enum Operation: UInt8, Sendable {
        case match, character, split, jump
        /// As many as there are, giving back one at a time.
        case loop
        /// As many as there are, giving none back; at most one.
        case possessiveLoop, possessiveOption
        case look, lineStart, lineEnd, textStart, textEnd
    }

    struct Step: Sendable {
        var operation: Operation
        /// Class, or where to go first.
        var first: Int32 = 0
        /// Where to go second; for `look`, bit 0 is ahead and bit 1 negated.
        var second: Int32 = 0
    }

    /// A class without references, for the inner loop.
    struct FlatClass: Sendable {
        var low: UInt64
        var high: UInt64
        var categories: UInt64
        var rangeStart: Int32
        var rangeCount: Int32
        var isNegated: Bool
    }

    private(set) var steps: [Step] = []
    private(set) var classes: [FlatClass] = []
    private(set) var ranges: [(UInt32, UInt32)] = []
    private var known: [CharacterClass: Int32] = [:]
    package let source: String

    static let stepLimit = 4096

    /// Throws `unsupportedFormat` for what cannot be matched in linear time.
    package init(_ source: String) throws {
        self.source = source
        try emit(try RegexParser.parse(source))
        steps.append(Step(operation: .match))
    }

    private mutating func add(_ set: CharacterClass) -> Int32 {
        if let index = known[set] { return index }
        var settled = set
        settled.settle()
        let index = Int32(classes.count)
        classes.append(
            FlatClass(
                low: settled.low, high: settled.high, categories: settled.categories.rawValue,
                rangeStart: Int32(ranges.count), rangeCount: Int32(set.ranges.count), isNegated: set.isNegated))
        ranges += set.ranges.map { ($0.lowerBound, $0.upperBound) }
        known[set] = index
        return index
    }

    private mutating func emit(_ node: RegexNode) throws {
        guard steps.count < Self.stepLimit else {
            throw MartletError(
                .unsupportedFormat,
                "the pattern '\(source)' needs more than \(Self.stepLimit) steps; use a tokenizer with a simpler pattern"
            )
        }
        switch node {
        case .empty: break
        case .character(let set): steps.append(Step(operation: .character, first: add(set)))
        case .sequence(let nodes): for node in nodes { try emit(node) }
        case .alternatives(let nodes):
            var jumps: [Int] = []
            for (index, node) in nodes.enumerated() {
                if index == nodes.count - 1 {
                    try emit(node)
                } else {
                    let split = steps.count
                    steps.append(Step(operation: .split, first: Int32(split + 1)))
                    try emit(node)
                    jumps.append(steps.count)
                    steps.append(Step(operation: .jump))
                    steps[split].second = Int32(steps.count)
                }
            }
            for jump in jumps { steps[jump].first = Int32(steps.count) }
        case .repeated(let inner, let min, let max, let greed): try emit(inner, min: min, max: max, greed)
        case .look(let set, let ahead, let negated):
            steps.append(
                Step(operation: .look, first: add(set), second: (ahead ? 1 : 0) | (negated ? 2 : 0)))
        case .lineStart: steps.append(Step(operation: .lineStart))
        case .lineEnd: steps.append(Step(operation: .lineEnd))
        case .textStart: steps.append(Step(operation: .textStart))
        case .textEnd: steps.append(Step(operation: .textEnd))
        }
    }

    private mutating func emit(_ inner: RegexNode, min: Int, max: Int?, _ greed: RegexNode.Greed) throws {
        for _ in 0..<min { try emit(inner) }
        if let max {
            var splits: [Int] = []
            for _ in min..<max {
                if greed == .possessive, case .character(let set) = inner {
                    steps.append(Step(operation: .possessiveOption, first: add(set)))
                } else {
                    splits.append(steps.count)
                    steps.append(Step(operation: .split))
                    try emit(inner)
                }
            }
            for split in splits { aim(split, inside: split + 1, outside: steps.count, greed) }
        } else if case .character(let set) = inner, greed != .lazy {
            steps.append(Step(operation: greed == .greedy ? .loop : .possessiveLoop, first: add(set)))
        } else {
            let split = steps.count
            steps.append(Step(operation: .split))
            try emit(inner)
            steps.append(Step(operation: .jump, first: Int32(split)))
            aim(split, inside: split + 1, outside: steps.count, greed)
        }
    }

    private mutating func aim(_ split: Int, inside: Int, outside: Int, _ greed: RegexNode.Greed) {
        steps[split].first = Int32(greed == .lazy ? outside : inside)
        steps[split].second = Int32(greed == .lazy ? inside : outside)
    }
}
