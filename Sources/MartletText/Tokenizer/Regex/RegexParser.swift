import MartletWire

/// Reads a pattern in the syntax that `tokenizers` uses (Oniguruma's, Ruby flavour), as far as it can be matched in time
/// linear in the text. What cannot is refused by name.
struct RegexParser {
    private let pattern: [UInt32]
    private let source: String
    private var position = 0
    private var ignoresCase = false
    private var depth = 0

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

    private func refuse(_ what: String) -> MartletError {
        MartletError(
            .unsupportedFormat,
            "the pattern '\(source)' has \(what) at character \(position), which the tokenizer's matcher does not take; "
                + "use a tokenizer with a simpler pattern")
    }

    private func peek(_ offset: Int = 0) -> Unicode.Scalar? {
        position + offset < pattern.count ? Unicode.Scalar(pattern[position + offset]) : nil
    }

    private mutating func take(_ text: String) -> Bool {
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

    private func literal(_ code: UInt32) -> CharacterClass {
        var set = CharacterClass()
        add(code...code, to: &set)
        return set
    }

    private func add(_ range: ClosedRange<UInt32>, to set: inout CharacterClass) {
        set.ranges.append(range)
        guard ignoresCase, range.count <= 0x400 else { return }
        for code in range { set.ranges += RegexCase.variants(of: code).map { $0...$0 } }
    }

    private mutating func set() throws -> CharacterClass {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw refuse("sets nested deeper than \(Self.depthLimit)") }
        position += 1
        var set = CharacterClass()
        set.isNegated = take("^")
        var isFirst = true
        while true {
            guard let next = peek() else { throw refuse("a '[' without its ']'") }
            if next == "]", !isFirst {
                position += 1
                return set
            }
            isFirst = false
            if next == "[" {
                if peek(1) == ":" { throw refuse("a POSIX class") }
                let inner = try self.set()
                if inner.isNegated {
                    guard inner.ranges.isEmpty else { throw refuse("a negated set within a set") }
                    set.categories.formUnion(inner.categories.complement)
                } else {
                    set.categories.formUnion(inner.categories)
                    set.ranges += inner.ranges
                }
                continue
            }
            if next == "&", peek(1) == "&" { throw refuse("an intersection of sets") }
            var low = next.value
            if next == "\\" {
                var single = CharacterClass()
                try escape(into: &single)
                guard single.categories.isEmpty, let only = single.ranges.first else {
                    set.categories.formUnion(single.categories)
                    continue
                }
                low = only.lowerBound
            } else {
                position += 1
            }
            var high = low
            if peek() == "-", let end = peek(1), end != "]", end != "[" {
                position += 1
                if end == "\\" {
                    var single = CharacterClass()
                    try escape(into: &single)
                    guard single.categories.isEmpty, let only = single.ranges.first else {
                        throw refuse("a range that ends in a class")
                    }
                    high = only.lowerBound
                } else {
                    position += 1
                    high = end.value
                }
            }
            guard low <= high else { throw refuse("a range out of order") }
            add(low...high, to: &set)
        }
    }

    private mutating func escape(into set: inout CharacterClass) throws {
        position += 1
        guard let kind = peek() else { throw refuse("a '\\' at its end") }
        position += 1
        switch kind {
        case "s": set.categories = .space
        case "S": set.categories = CategorySet.space.complement
        case "d": set.categories = .named("Nd")
        case "D": set.categories = CategorySet.named("Nd").complement
        case "w": set.categories = .word
        case "W": set.categories = CategorySet.word.complement
        case "p", "P": set.categories = try property(negated: kind == "P")
        case "n": add(0x0A...0x0A, to: &set)
        case "r": add(0x0D...0x0D, to: &set)
        case "t": add(0x09...0x09, to: &set)
        case "f": add(0x0C...0x0C, to: &set)
        case "v": add(0x0B...0x0B, to: &set)
        case "a": add(0x07...0x07, to: &set)
        case "e": add(0x1B...0x1B, to: &set)
        case "u":
            let code = try hexadecimal(4...4)
            add(code...code, to: &set)
        case "x":
            let code: UInt32
            if take("{") {
                code = try hexadecimal(1...6)
                guard take("}") else { throw refuse("a '\\x{' without its '}'") }
            } else {
                code = try hexadecimal(1...2)
                guard code < 0x80 else { throw refuse("a byte that is no character") }
            }
            add(code...code, to: &set)
        default:
            guard !kind.properties.isAlphabetic, !(0x30...0x39).contains(kind.value) else {
                position -= 1
                throw refuse("the escape '\\\(kind)'")
            }
            add(kind.value...kind.value, to: &set)
        }
    }

    private mutating func hexadecimal(_ counts: ClosedRange<Int>) throws -> UInt32 {
        var digits = ""
        while digits.count < counts.upperBound, let next = peek(), next.isASCII, next.properties.isASCIIHexDigit {
            digits.unicodeScalars.append(next)
            position += 1
        }
        guard digits.count >= counts.lowerBound, let code = UInt32(digits, radix: 16), Unicode.Scalar(code) != nil
        else {
            throw refuse("an escape that is no character")
        }
        return code
    }

    private mutating func property(negated: Bool) throws -> CategorySet {
        guard take("{") else { throw refuse("a '\\p' without '{'") }
        let isInverse = take("^")
        var name = ""
        while let next = peek(), next != "}" {
            name.unicodeScalars.append(next)
            position += 1
        }
        let set = CategorySet.named(Self.longNames[name] ?? name)
        guard take("}"), !set.isEmpty else { throw refuse("the property '\(name)'") }
        return negated != isInverse ? set.complement : set
    }

    private static let longNames = [
        "Letter": "L", "Mark": "M", "Number": "N", "Punctuation": "P", "Symbol": "S", "Separator": "Z", "Other": "C",
    ]
}

/// The scalars that differ from another only in case.
enum RegexCase {
    static func variants(of code: UInt32) -> [UInt32] {
        guard let scalar = Unicode.Scalar(code) else { return [] }
        var found: Set<UInt32> = []
        func add(_ mapped: String) {
            if mapped.unicodeScalars.count == 1, let only = mapped.unicodeScalars.first { found.insert(only.value) }
        }
        add(scalar.properties.lowercaseMapping)
        add(scalar.properties.uppercaseMapping)
        // Capitals and signs whose small letter is an ordinary one.
        let folds: [UInt32: [UInt32]] = [
            0x73: [0x17F], 0x53: [0x17F], 0x17F: [0x73, 0x53], 0x6B: [0x212A], 0x4B: [0x212A], 0x212A: [0x6B, 0x4B],
            0xE5: [0x212B], 0xC5: [0x212B], 0x212B: [0xE5, 0xC5],
        ]
        found.formUnion(folds[code] ?? [])
        found.remove(code)
        return found.sorted()
    }
}
