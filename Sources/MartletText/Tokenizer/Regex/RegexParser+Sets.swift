import MartletWire

/// Characters, sets of them, and escapes.
extension RegexParser {
    func literal(_ code: UInt32) -> CharacterClass {
        var set = CharacterClass()
        add(code...code, to: &set)
        return set
    }

    private func add(_ range: ClosedRange<UInt32>, to set: inout CharacterClass) {
        set.ranges.append(range)
        guard ignoresCase, range.count <= 0x400 else { return }
        for code in range { set.ranges += RegexCase.variants(of: code).map { $0...$0 } }
    }

    mutating func set() throws -> CharacterClass {
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
                try escape(into: &single, word: .wordInSet)
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

    mutating func escape(into set: inout CharacterClass, word: CategorySet = .word) throws {
        position += 1
        guard let kind = peek() else { throw refuse("a '\\' at its end") }
        position += 1
        switch kind {
        case "s": set.categories = .space
        case "S": set.categories = CategorySet.space.complement
        case "d": set.categories = .named("Nd")
        case "D": set.categories = CategorySet.named("Nd").complement
        case "w": set.categories = word
        case "W": set.categories = word.complement
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
