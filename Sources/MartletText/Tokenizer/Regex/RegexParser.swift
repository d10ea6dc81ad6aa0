import MartletWire

/// Reads a pattern in the syntax that `tokenizers` uses (Oniguruma's, Ruby flavour), as far as it can be matched in time
/// linear in the text. What cannot is refused by name.
struct RegexParser {
    private let pattern: [UInt32]
    private let source: String
    var position = 0
    var ignoresCase = false
    var depth = 0

    static let depthLimit = 32
    static let repeatLimit = 1000
    static let lengthLimit = 8192
    /// Counts one after the other for the same thing, as in `a{2}{3}`.
    static let countsInARow = 4

    private init(_ source: String) {
        self.source = source
        pattern = source.unicodeScalars.map { $0.value }
    }

    static func parse(_ source: String) throws -> RegexNode {
        var parser = RegexParser(source)
        guard parser.pattern.count <= lengthLimit else {
            throw MartletError(
                .unsupportedFormat,
                "a pattern of the tokenizer has \(parser.pattern.count) characters; \(lengthLimit) are the limit")
        }
        let node = try parser.alternatives()
        guard parser.position == parser.pattern.count else { throw parser.refuse("a ')' without its '('") }
        return node
    }

    func refuse(_ what: String) -> MartletError {
        MartletError(
            .unsupportedFormat,
            "the pattern '\(source)' has \(what) at character \(position), which the tokenizer's matcher does not take; "
                + "use a tokenizer with a simpler pattern")
    }

    func peek(_ offset: Int = 0) -> Unicode.Scalar? {
        position + offset < pattern.count ? Unicode.Scalar(pattern[position + offset]) : nil
    }

    mutating func take(_ text: String) -> Bool {
        let scalars = text.unicodeScalars.map { $0.value }
        guard position + scalars.count <= pattern.count,
            pattern[position..<position + scalars.count].elementsEqual(scalars)
        else { return false }
        position += scalars.count
        return true
    }

    private mutating func alternatives() throws -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw refuse("groups nested deeper than \(Self.depthLimit)") }
        // A flag set inside a group ends with it.
        let outerCase = ignoresCase
        defer { ignoresCase = outerCase }
        var branches: [RegexNode] = []
        repeat {
            var nodes: [RegexNode] = []
            while let next = peek(), next != "|", next != ")" { nodes.append(try repeated()) }
            branches.append(nodes.count == 1 ? nodes[0] : .sequence(nodes))
        } while take("|")
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func repeated() throws -> RegexNode {
        var node = try atom()
        var counts = 0
        while let next = peek() {
            var min = 0
            var max: Int?
            var isInterval = false
            switch next {
            case "*": position += 1
            case "+":
                position += 1
                min = 1
            case "?":
                position += 1
                max = 1
            case "{":
                guard let bounds = try interval() else { return node }
                (min, max) = bounds
                isInterval = true
            default: return node
            }
            if case .look = node { throw refuse("a repeated look-around") }
            counts += 1
            guard counts <= Self.countsInARow else { throw refuse("more than \(Self.countsInARow) counts in a row") }
            var greed = RegexNode.Greed.greedy
            if peek() == "?" {
                if isInterval, max == min { throw refuse("'{n}?'") }
                position += 1
                greed = .lazy
            } else if peek() == "+", !isInterval {
                position += 1
                greed = .possessive
            }
            if greed == .possessive {
                guard case .character = node else { throw refuse("a possessive repeat of more than one character") }
            }
            if node.canBeEmpty, max == nil { throw refuse("a repeat of what can be empty") }
            node = .repeated(node, min: min, max: max, greed)
        }
        return node
    }

    /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; nil (and nothing taken) where the brace stands for itself.
    private mutating func interval() throws -> (Int, Int?)? {
        var index = position + 1
        func number() -> Int? {
            var digits = ""
            while index < pattern.count, (0x30...0x39).contains(pattern[index]), digits.count < 6 {
                digits.append(String(pattern[index] - 0x30))
                index += 1
            }
            return Int(digits)
        }
        let low = number()
        var high = low
        if index < pattern.count, pattern[index] == 0x2C {
            index += 1
            high = number()
            if low == nil, high == nil { throw refuse("'{,}'") }
        }
        guard index < pattern.count, pattern[index] == 0x7D, low != nil || high != nil else {
            throw refuse("a '{' that starts no count")
        }
        position = index + 1
        let minimum = low ?? 0
        guard minimum <= Self.repeatLimit, (high ?? 0) <= Self.repeatLimit, high.map({ $0 >= minimum }) ?? true else {
            throw refuse("a count over \(Self.repeatLimit) or out of order")
        }
        return (minimum, high)
    }

    private mutating func atom() throws -> RegexNode {
        guard let next = peek() else { return .empty }
        switch next {
        case "(": return try group()
        case "[": return .character(try set())
        case "^":
            position += 1
            return .lineStart
        case "$":
            position += 1
            return .lineEnd
        case ".":
            position += 1
            return .character(CharacterClass(ranges: [0x0A...0x0A], isNegated: true))
        case "*", "+", "?": throw refuse("a '\(next)' that repeats nothing")
        case "\\":
            if take("\\A") { return .textStart }
            if take("\\z") { return .textEnd }
            var set = CharacterClass()
            try escape(into: &set)
            return .character(set)
        default:
            position += 1
            return .character(literal(next.value))
        }
    }

    private mutating func group() throws -> RegexNode {
        position += 1
        var look: (ahead: Bool, negated: Bool)?
        let outerCase = ignoresCase
        if take("?:") {
        } else if take("?i:") {
            ignoresCase = true
        } else if take("?!") {
            look = (true, true)
        } else if take("?=") {
            look = (true, false)
        } else if take("?<!") {
            look = (false, true)
        } else if take("?<=") {
            look = (false, false)
        } else if take("?i)") {
            // To the end of the group around it, whose end restores the case.
            ignoresCase = true
            return .empty
        } else if peek() == "?" {
            throw refuse("a group of the kind '(?\(peek(1).map(String.init) ?? "")'")
        }
        let node = try alternatives()
        ignoresCase = outerCase
        guard take(")") else { throw refuse("a '(' without its ')'") }
        guard let look else { return node }
        guard case .character(let set) = node else { throw refuse("a look-around at more than one character") }
        return .look(set, ahead: look.ahead, negated: look.negated)
    }
}
