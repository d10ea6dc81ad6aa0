import MartletWire

/// A regular expression without what would need a memory: what schemas and clients write.
indirect enum PatternNode: Sendable {
    case set(CodePointSet)
    case sequence([PatternNode])
    case choice([PatternNode])
    case repeated(PatternNode, minimum: Int, maximum: Int?)

    var isNullable: Bool {
        switch self {
        case .set: false
        case .sequence(let parts): parts.allSatisfy(\.isNullable)
        case .choice(let parts): parts.contains(where: \.isNullable)
        case .repeated(let part, let minimum, _): minimum == 0 || part.isNullable
        }
    }
}

/// One way through a pattern, with the anchors at its ends.
struct PatternAlternative: Sendable {
    var startsAtStart: Bool
    var endsAtEnd: Bool
    var body: PatternNode
}

/// Reads ECMA 262's patterns (which JSON schema names) as far as an automaton can follow them; the rest is refused by name.
struct PatternParser {
    private static let maximumDepth = 64
    private let scalars: [Unicode.Scalar]
    private let pattern: String
    private var position = 0
    private var depth = 0

    static func parse(_ pattern: String) throws -> [PatternAlternative] {
        guard pattern.utf8.count <= 16_384 else {
            throw MartletError(.invalidRequest, "a pattern has more than 16,384 bytes; make it shorter")
        }
        var parser = PatternParser(pattern)
        var alternatives = [try parser.alternative()]
        while parser.take("|") { alternatives.append(try parser.alternative()) }
        guard parser.position == parser.scalars.count else { throw parser.fault("')' closes nothing") }
        return alternatives
    }

    private init(_ pattern: String) {
        self.pattern = pattern
        scalars = Array(pattern.unicodeScalars)
    }

    private func fault(_ what: String) -> MartletError {
        MartletError(
            .invalidRequest, "the pattern '\(pattern.prefix(80))' cannot be used at character \(position): \(what)")
    }

    private var current: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard current == scalar else { return false }
        position += 1
        return true
    }

    private mutating func alternative() throws -> PatternAlternative {
        let startsAtStart = take("^")
        let body = try sequence()
        let endsAtEnd = take("$")
        // `^(a|b)$` and the like are read above; an anchor further inside is met by `atom`.
        return PatternAlternative(startsAtStart: startsAtStart, endsAtEnd: endsAtEnd, body: body)
    }

    private mutating func sequence() throws -> PatternNode {
        var parts: [PatternNode] = []
        while let scalar = current, scalar != "|", scalar != ")" {
            if scalar == "$", position + 1 == scalars.count || scalars[position + 1] == "|", depth == 0 { break }
            let part = try atom()
            parts.append(try quantified(part))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    private mutating func quantified(_ part: PatternNode) throws -> PatternNode {
        var part = part
        var stacked = 0
        while let scalar = current {
            var minimum = 0
            var maximum: Int?
            switch scalar {
            case "*": break
            case "+": minimum = 1
            case "?": maximum = 1
            case "{":
                guard let bounds = try bounds() else { return part }
                (minimum, maximum) = bounds
                position -= 1
            default: return part
            }
            position += 1
            if current == "+" { throw fault("possessive quantifiers are not supported") }
            _ = take("?")
            stacked += 1
            guard stacked <= 4 else { throw fault("too many quantifiers stand in a row") }
            part = .repeated(part, minimum: minimum, maximum: maximum)
        }
        return part
    }

    /// `{2}`, `{2,}` or `{2,5}`; leaves the place behind it.
    private mutating func bounds() throws -> (Int, Int?)? {
        let start = position
        position += 1
        func number(_ parser: inout PatternParser) throws -> Int? {
            let first = parser.position
            while let scalar = parser.current, ("0"..."9").contains(scalar) { parser.position += 1 }
            guard parser.position > first else { return nil }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: parser.scalars[first..<parser.position])
            guard let value = Int(String(text)), value <= 100_000 else {
                throw parser.fault("a count of more than 100,000 is not supported")
            }
            return value
        }
        guard let minimum = try number(&self) else { throw fault("'{' must be written '\\{', or a count must follow") }
        var maximum: Int? = minimum
        if take(",") { maximum = try number(&self) }
        guard take("}") else {
            position = start
            throw fault("a count must end with '}'")
        }
        if let maximum, maximum < minimum { throw fault("the counts stand in the wrong order") }
        return (minimum, maximum)
    }

    private mutating func atom() throws -> PatternNode {
        guard let scalar = current else { throw fault("it ends early") }
        position += 1
        switch scalar {
        case "(": return try group()
        case "[": return .set(try set())
        case ".": return .set(CodePointSet([0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029]).complement)
        case "\\": return .set(try escape(inSet: false))
        case "*", "+", "?", "{": throw fault("'\(scalar)' repeats nothing")
        case "^", "$":
            throw fault("'\(scalar)' is supported only at the two ends of the pattern or of its alternatives")
        default: return .set(CodePointSet(scalar))
        }
    }

    private mutating func group() throws -> PatternNode {
        if take("?") {
            if take("P") || current == "<" {
                guard take("<"), let next = current, next != "=", next != "!" else {
                    throw fault("looking behind is not supported")
                }
                while let scalar = current, scalar != ">" { position += 1 }
                guard take(">") else { throw fault("a group's name does not end") }
            } else if !take(":") {
                throw fault("looking ahead, flags and the like are not supported")
            }
        }
        depth += 1
        guard depth <= Self.maximumDepth else { throw fault("it is nested deeper than \(Self.maximumDepth) levels") }
        var parts = [try sequence()]
        while take("|") { parts.append(try sequence()) }
        guard take(")") else { throw fault("a group does not end") }
        depth -= 1
        return parts.count == 1 ? parts[0] : .choice(parts)
    }

    private mutating func set() throws -> CodePointSet {
        let isNegated = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while !take("]") {
            let low = try setItem()
            guard current == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
                ranges += low.ranges
                continue
            }
            position += 1
            let high = try setItem()
            guard let from = low.single, let to = high.single, from <= to else {
                throw fault("a range in '[…]' needs two characters in order")
            }
            ranges.append(from...to)
        }
        let set = CodePointSet(ranges).subtracting(CodePointSet([0xD800...0xDFFF]))
        return isNegated ? set.complement : set
    }

    private mutating func setItem() throws -> CodePointSet {
        guard let scalar = current else { throw fault("'[' has no ']'") }
        position += 1
        if scalar == "[", current == ":" { throw fault("POSIX classes are not supported; write the characters") }
        return scalar == "\\" ? try escape(inSet: true) : CodePointSet(scalar)
    }

    private mutating func escape(inSet: Bool) throws -> CodePointSet {
        guard let scalar = current else { throw fault("'\\' ends it") }
        position += 1
        let digits = CodePointSet([0x30...0x39])
        let word = CodePointSet([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
        let space = CodePointSet([
            0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
            0x205F...0x205F, 0x3000...0x3000,
        ])
        switch scalar {
        case "d": return digits
        case "D": return digits.complement
        case "w": return word
        case "W": return word.complement
        case "s": return space
        // What some readers take for white space and others do not is written for neither.
        case "S": return space.union(CodePointSet([0x1C...0x1F, 0x85...0x85, 0xFEFF...0xFEFF])).complement
        case "n": return CodePointSet("\n")
        case "r": return CodePointSet("\r")
        case "t": return CodePointSet("\t")
        case "f": return CodePointSet("\u{C}")
        case "v": return CodePointSet("\u{B}")
        case "0": return CodePointSet("\u{0}")
        case "b" where inSet: return CodePointSet("\u{8}")
        case "x": return try code(count: 2)
        case "u":
            guard take("{") else { return try code(count: 4) }
            var value: UInt32 = 0
            while let digit = current.flatMap({ Character($0).hexDigitValue }), value < 0x11_0000 {
                value = value * 16 + UInt32(digit)
                position += 1
            }
            guard take("}"), let found = Unicode.Scalar(value) else { throw fault("'\\u{…}' names no character") }
            return CodePointSet(found)
        case "1"..."9": throw fault("references back are not supported")
        case "a"..."z", "A"..."Z": throw fault("'\\\(scalar)' is not supported")
        default: return CodePointSet(scalar)
        }
    }

    private mutating func code(count: Int) throws -> CodePointSet {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = current.flatMap({ Character($0).hexDigitValue }) else {
                throw fault("\(count) hexadecimal digits must follow")
            }
            value = value * 16 + UInt32(digit)
            position += 1
        }
        guard let scalar = Unicode.Scalar(value) else { throw fault("half of a surrogate pair is no character") }
        return CodePointSet(scalar)
    }
}

extension CodePointSet {
    var single: UInt32? {
        guard ranges.count == 1, ranges[0].lowerBound == ranges[0].upperBound else { return nil }
        return ranges[0].lowerBound
    }
}
