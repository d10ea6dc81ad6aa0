extension TemplateLexer {
    /// The tokens between the signs of a tag, and the tag's end.
    mutating func expressionTokens(isBlock: Bool) throws {
        let first = line
        var brackets: [Unicode.Scalar] = []
        while position < source.count {
            let space = skippingSpace(from: position)
            if space > position {
                advance(to: space)
                continue
            }
            if brackets.isEmpty, let end = isBlock ? endOfBlock(at: position) : endOfVariable(at: position) {
                add(isBlock ? .blockEnd : .variableEnd)
                advance(to: end)
                return
            }
            let scalar = source[position]
            if ("0"..."9").contains(scalar) {
                try number()
            } else if scalar == "_" || scalar.properties.isXIDStart {
                var end = position + 1
                while end < source.count, source[end].properties.isXIDContinue { end += 1 }
                add(.name(text(position..<end)))
                advance(to: end)
            } else if scalar == "'" || scalar == "\"" {
                try string(scalar)
            } else {
                try symbol(&brackets)
            }
        }
        throw TemplateFault("a tag has no '\(isBlock ? "%}" : "}}")'", line: first)
    }

    private func endOfVariable(at index: Int) -> Int? {
        if matches("-}}", at: index) { return skippingSpace(from: index + 3) }
        return matches("}}", at: index) ? index + 2 : nil
    }

    private mutating func symbol(_ brackets: inout [Unicode.Scalar]) throws {
        let doubled: [StaticString] = ["//", "**", "==", "!=", ">=", "<="]
        for text in doubled where matches(text, at: position) {
            add(.symbol("\(text)"))
            advance(to: position + 2)
            return
        }
        let scalar = source[position]
        switch scalar {
        case "(": brackets.append(")")
        case "[": brackets.append("]")
        case "{": brackets.append("}")
        case ")", "]", "}":
            guard brackets.popLast() == scalar else {
                throw TemplateFault("'\(scalar)' closes nothing", line: line)
            }
        case "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ":", "|", ",", ";": break
        default: throw TemplateFault("the character '\(scalar)' has no meaning here", line: line)
        }
        add(.symbol(String(scalar)))
        advance(to: position + 1)
    }

    private func digits(from index: Int) -> Int {
        var index = index
        while index < source.count {
            if ("0"..."9").contains(source[index]) {
                index += 1
            } else if source[index] == "_", let next = scalar(index + 1), ("0"..."9").contains(next) {
                index += 2
            } else {
                break
            }
        }
        return index
    }

    private mutating func number() throws {
        if source[position] == "0", let mark = scalar(position + 1), "xXoObB".unicodeScalars.contains(mark) {
            let radix = "xX".unicodeScalars.contains(mark) ? 16 : "oO".unicodeScalars.contains(mark) ? 8 : 2
            var end = position + 2
            while end < source.count, source[end] == "_" || source[end].properties.isASCIIHexDigit { end += 1 }
            try addInteger(text(position + 2..<end), radix: radix, end: end)
            return
        }
        var end = digits(from: position)
        var isFloat = false
        if scalar(end) == ".", let next = scalar(end + 1), ("0"..."9").contains(next) {
            isFloat = true
            end = digits(from: end + 1)
        }
        if let mark = scalar(end), mark == "e" || mark == "E" {
            var exponent = end + 1
            if let sign = scalar(exponent), sign == "+" || sign == "-" { exponent += 1 }
            if let digit = scalar(exponent), ("0"..."9").contains(digit) {
                isFloat = true
                end = digits(from: exponent)
            }
        }
        guard isFloat else { return try addInteger(text(position..<end), radix: 10, end: end) }
        guard let value = Double(text(position..<end).filter { $0 != "_" }) else {
            throw TemplateFault("'\(text(position..<end))' is not a number", line: line)
        }
        add(.float(value))
        advance(to: end)
    }

    private mutating func addInteger(_ text: String, radix: Int, end: Int) throws {
        guard let value = Int(text.filter { $0 != "_" }, radix: radix) else {
            throw TemplateFault("the number '\(text.prefix(40))' is past 64 bits", line: line)
        }
        add(.integer(value))
        advance(to: end)
    }

    /// A string with Python's escapes.
    private mutating func string(_ quote: Unicode.Scalar) throws {
        let start = line
        var index = position + 1
        var value = String.UnicodeScalarView()
        while index < source.count {
            let scalar = source[index]
            if scalar == quote {
                add(.string(String(value)))
                advance(to: index + 1)
                return
            }
            if scalar != "\\" {
                value.append(scalar)
                index += 1
                continue
            }
            guard index + 1 < source.count else { break }
            index = try escape(at: index + 1, into: &value)
        }
        throw TemplateFault("a string does not end", line: start)
    }

    private func escape(at index: Int, into value: inout String.UnicodeScalarView) throws -> Int {
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}",
            "f": "\u{C}", "v": "\u{B}",
        ]
        let mark = source[index]
        if let scalar = simple[mark] {
            value.append(scalar)
            return index + 1
        }
        switch mark {
        case "\n": return index + 1
        case "x": return try coded(at: index + 1, count: 2, radix: 16, exact: true, into: &value)
        case "u": return try coded(at: index + 1, count: 4, radix: 16, exact: true, into: &value)
        case "U": return try coded(at: index + 1, count: 8, radix: 16, exact: true, into: &value)
        case "0"..."7": return try coded(at: index, count: 3, radix: 8, exact: false, into: &value)
        case "N": throw TemplateFault("the escape '\\N' in a string is not supported; write the character", line: line)
        default:
            value.append("\\")
            value.append(mark)
            return index + 1
        }
    }

    private func coded(
        at index: Int, count: Int, radix: UInt32, exact: Bool, into value: inout String.UnicodeScalarView
    ) throws -> Int {
        var code: UInt32 = 0
        var end = index
        while end < min(index + count, source.count), let digit = Character(source[end]).hexDigitValue,
            UInt32(digit) < radix
        {
            code = code &* radix &+ UInt32(digit)
            end += 1
        }
        guard !exact || end == index + count, let scalar = Unicode.Scalar(code) else {
            throw TemplateFault("an escape in a string is not a character", line: line)
        }
        value.append(scalar)
        return end
    }
}
