/// How characters are written in an answer.
enum ConstraintEncoding {
    case plain
    /// Inside a JSON string: each character in one way only, so that a name has one spelling.
    case json
}

extension ConstraintBuilder {
    private static let mustEscape = CodePointSet([0...0x1F, 0x22...0x22, 0x5C...0x5C])

    /// One character of `set`.
    mutating func character(_ set: CodePointSet, _ encoding: ConstraintEncoding, from: Int) throws -> Int {
        let end = try state()
        let plain = encoding == .plain ? set : set.subtracting(Self.mustEscape)
        for sequence in plain.utf8 {
            var current = from
            for range in sequence.dropLast() { current = try byte(current, range.lowerBound, range.upperBound) }
            if let last = sequence.last { edge(current, last.lowerBound, last.upperBound, to: end) }
        }
        guard encoding == .json else { return end }
        for range in Self.mustEscape.ranges {
            for value in range where set.contains(value) {
                join(try literal(Self.escape(value), from: from), end)
            }
        }
        return end
    }

    private static func escape(_ value: UInt32) -> String {
        switch value {
        case 0x22: return "\\\""
        case 0x5C: return "\\\\"
        case 0x08: return "\\b"
        case 0x0C: return "\\f"
        case 0x0A: return "\\n"
        case 0x0D: return "\\r"
        case 0x09: return "\\t"
        default:
            let digits = String(value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
    }

    /// A character of a JSON string, in every spelling that parses: halves of surrogate pairs do not.
    mutating func jsonCharacter(from: Int) throws -> Int {
        let end = try state()
        join(try character(CodePointSet.all.subtracting(Self.mustEscape), .plain, from: from), end)
        let backslash = try literal("\\", from: from)
        for mark in "\"\\/bfnrt".utf8 { edge(backslash, mark, mark, to: end) }
        let code = try literal("u", from: backslash)
        func hex(_ builder: inout ConstraintBuilder, _ from: Int, _ digits: String, to: Int) {
            for digit in digits.utf8 { builder.edge(from, digit, digit, to: to) }
        }
        let any = "0123456789abcdefABCDEF"
        let (second, third, fourth) = (try state(), try state(), try state())
        hex(&self, code, "0123456789abcefABCEF", to: second)
        hex(&self, second, any, to: third)
        hex(&self, third, any, to: fourth)
        hex(&self, fourth, any, to: end)
        let upper = try state()
        hex(&self, code, "dD", to: upper)
        hex(&self, upper, "01234567", to: third)
        let (high, higher) = (try state(), try state())
        hex(&self, upper, "89abAB", to: high)
        hex(&self, high, any, to: higher)
        let pair = try state()
        hex(&self, higher, any, to: pair)
        let low = try literal("\\u", from: pair)
        let lower = try state()
        hex(&self, low, "dD", to: lower)
        hex(&self, lower, "cdefCDEF", to: third)
        return end
    }

    /// A JSON string of `minimum` to `maximum` characters.
    mutating func jsonString(minimum: Int = 0, maximum: Int? = nil, from: Int) throws -> Int {
        if minimum == 0, maximum == nil {
            if let rule = memo.string { return try call(rule, from: from) }
            let rule = try newRule()
            memo.string = rule
            var end = try literal("\"", from: Int(grammar.rules[rule]))
            end = try star(from: end) { try $0.jsonCharacter(from: $1) }
            finishRule(at: try literal("\"", from: end))
            return try call(rule, from: from)
        }
        let open = try literal("\"", from: from)
        let end = try repeated(minimum: minimum, maximum: maximum, from: open) { try $0.jsonCharacter(from: $1) }
        return try literal("\"", from: end)
    }

    /// `text` as a JSON string in its one spelling.
    mutating func jsonLiteral(_ text: String, from: Int) throws -> Int {
        var current = try literal("\"", from: from)
        for scalar in text.unicodeScalars { current = try character(CodePointSet(scalar), .json, from: current) }
        return try literal("\"", from: current)
    }

    /// A JSON string that is none of `names`.
    mutating func jsonString(except names: [String], from: Int) throws -> Int {
        let end = try state()
        let free = try state()
        let root = try literal("\"", from: from)
        var children: [Int: [(scalar: Unicode.Scalar, node: Int)]] = [root: []]
        var names = Set(names.map { TemplateText($0) }).map(\.text)
        names.sort { TemplateText.isBefore($0, $1) }
        var isName: Set<Int> = []
        for name in names {
            var node = root
            for scalar in name.unicodeScalars {
                if let found = children[node]?.first(where: { $0.scalar == scalar }) {
                    node = found.node
                    continue
                }
                let next = try character(CodePointSet(scalar), .json, from: node)
                children[node, default: []].append((scalar, next))
                children[next] = []
                node = next
            }
            isName.insert(node)
        }
        // What most names do not go on with leads away from all of them: it is the same at every place.
        let usual = CodePointSet([0x20...0x7F]).subtracting(Self.mustEscape)
        let unusual = try state()
        join(try character(usual.complement, .json, from: unusual), free)
        for node in children.keys.sorted() {
            let scalars = (children[node] ?? []).map(\.scalar.value)
            let taken = CodePointSet(scalars.map { $0...$0 })
            if scalars.allSatisfy(usual.contains) {
                join(node, unusual)
                join(try character(usual.subtracting(taken), .json, from: node), free)
            } else {
                join(try character(taken.complement, .json, from: node), free)
            }
            if !isName.contains(node) { edge(node, 0x22, 0x22, to: end) }
        }
        let loop = try star(from: free) { try $0.character(.all, .json, from: $1) }
        edge(loop, 0x22, 0x22, to: end)
        return end
    }
}
