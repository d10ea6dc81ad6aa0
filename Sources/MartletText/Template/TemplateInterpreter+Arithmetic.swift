import Foundation

extension TemplateInterpreter {
    private func refuse(_ left: TemplateValue, _ kind: TemplateArithmetic, _ right: TemplateValue) -> TemplateFault {
        for side in [left, right] {
            switch side {
            case .undefined(let what): return TemplateFault("\(what) is undefined")
            case .hidden(let name): return TemplateValue.isHidden(name)
            default: break
            }
        }
        return TemplateFault("'\(kind.rawValue)' does not join \(left.typeName) and \(right.typeName)")
    }

    func combine(_ left: TemplateValue, _ kind: TemplateArithmetic, _ right: TemplateValue) throws -> TemplateValue {
        switch (kind, left, right) {
        case (.add, .string(let one), .string(let another)):
            guard one.utf8.count + another.utf8.count <= TemplateSize.maximumWeight else {
                throw TemplateFault("a text is larger than \(TemplateSize.maximumWeight) bytes", kind: .budget)
            }
            return .string(one + another)
        case (.add, .list(let one), .list(let another)): return .list(try TemplateList(one.items + another.items))
        case (.add, .tuple(let one), .tuple(let another)): return .tuple(try TemplateList(one.items + another.items))
        case (.remainder, .string(let format), _): return .string(try formatted(format, right))
        case (.multiply, .string, _), (.multiply, .list, _), (.multiply, .tuple, _):
            guard let count = right.index else { throw refuse(left, kind, right) }
            return try repeated(left, count)
        case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
            guard let count = left.index else { throw refuse(left, kind, right) }
            return try repeated(right, count)
        default: break
        }
        guard let one = left.number, let another = right.number else { throw refuse(left, kind, right) }
        if case .int(let x) = one, case .int(let y) = another { return try integers(x, kind, y) }
        return try floats(one.double, kind, another.double)
    }

    private func repeated(_ value: TemplateValue, _ count: Int) throws -> TemplateValue {
        let count = max(0, count)
        let (weight, isOver) = value.size.weight.multipliedReportingOverflow(by: count)
        guard !isOver, weight <= TemplateSize.maximumWeight else {
            throw TemplateFault("a value is larger than \(TemplateSize.maximumWeight) bytes", kind: .budget)
        }
        try charge(weight >> 6)
        switch value {
        case .string(let text): return .string(String(repeating: text, count: count))
        case .list(let list): return .list(try TemplateList(Array(repeatElement(list.items, count: count).joined())))
        case .tuple(let list): return .tuple(try TemplateList(Array(repeatElement(list.items, count: count).joined())))
        default: return value
        }
    }

    private func integers(_ left: Int, _ kind: TemplateArithmetic, _ right: Int) throws -> TemplateValue {
        func checked(_ result: (partialValue: Int, overflow: Bool)) throws -> TemplateValue {
            guard !result.overflow else { throw TemplateFault("'\(kind.rawValue)' gives a number past 64 bits") }
            return .int(result.partialValue)
        }
        if right == 0, [.divide, .floorDivide, .remainder].contains(kind) { throw TemplateFault("division by zero") }
        switch kind {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide: return .float(Double(left) / Double(right))
        case .floorDivide:
            let quotient = left.dividedReportingOverflow(by: right)
            let isBelow = !quotient.overflow && left % right != 0 && (left < 0) != (right < 0)
            return try checked((quotient.partialValue - (isBelow ? 1 : 0), quotient.overflow))
        case .remainder:
            let remainder = left.remainderReportingOverflow(dividingBy: right).partialValue
            return .int(remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder)
        case .power:
            guard right >= 0 else {
                guard left != 0 else { throw TemplateFault("division by zero") }
                return .float(pow(Double(left), Double(right)))
            }
            return .int(try power(left, right))
        }
    }

    private func power(_ base: Int, _ exponent: Int) throws -> Int {
        var result = 1
        var (factor, rest) = (base, exponent)
        var isFactorOver = false
        while rest > 0 {
            if rest & 1 == 1 {
                let (product, isOver) = result.multipliedReportingOverflow(by: factor)
                guard !isOver, !isFactorOver else { throw TemplateFault("'**' gives a number past 64 bits") }
                result = product
            }
            rest >>= 1
            let (square, isOver) = factor.multipliedReportingOverflow(by: factor)
            factor = square
            isFactorOver = isFactorOver || isOver
        }
        return result
    }

    private func floats(_ left: Double, _ kind: TemplateArithmetic, _ right: Double) throws -> TemplateValue {
        if right == 0, [.divide, .floorDivide, .remainder].contains(kind) { throw TemplateFault("division by zero") }
        switch kind {
        case .add: return .float(left + right)
        case .subtract: return .float(left - right)
        case .multiply: return .float(left * right)
        case .divide: return .float(left / right)
        case .floorDivide: return .float((left / right).rounded(.down))
        case .remainder:
            let remainder = fmod(left, right)
            return .float(remainder != 0 && (remainder < 0) != (right < 0) ? remainder + right : remainder)
        case .power: return .float(pow(left, right))
        }
    }

    func negative(_ value: TemplateValue) throws -> TemplateValue {
        switch value.number {
        case .int(let number):
            guard number != .min else { throw TemplateFault("'-' gives a number past 64 bits") }
            return .int(-number)
        case .float(let number): return .float(-number)
        case nil: throw refuse(.int(0), .subtract, value)
        }
    }

    func positive(_ value: TemplateValue) throws -> TemplateValue {
        switch value.number {
        case .int(let number): return .int(number)
        case .float(let number): return .float(number)
        case nil: throw refuse(.int(0), .add, value)
        }
    }

    /// Python's `%` on a string: `%s`, `%r`, `%d`, `%i`, `%f`, `%x` and `%%`, with width, `-`, `0` and precision.
    private func formatted(_ format: String, _ value: TemplateValue) throws -> String {
        var values: [TemplateValue] = if case .tuple(let list) = value { list.items } else { [value] }
        let usesNames =
            switch value {
            case .dictionary, .list, .range, .undefined: true
            default: false
            }
        values.reverse()
        var out = ""
        let scalars = Array(format.unicodeScalars)
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "%" else {
                out.unicodeScalars.append(scalars[index])
                index += 1
                continue
            }
            index += 1
            var flags = ""
            while index < scalars.count, "-0+ .123456789".unicodeScalars.contains(scalars[index]) {
                flags.unicodeScalars.append(scalars[index])
                index += 1
            }
            guard index < scalars.count, flags.utf8.count <= 8 else { throw TemplateFault("a '%' format ends early") }
            let kind = scalars[index]
            index += 1
            if kind == "%" {
                out += "%"
                continue
            }
            guard let next = values.popLast() else { throw TemplateFault("a '%' format has too few values") }
            out += try TemplateFormat(flags: flags, kind: kind).text(of: next)
            try TemplateSize.check(out)
        }
        guard values.isEmpty || usesNames else { throw TemplateFault("a '%' format has too many values") }
        return out
    }
}

extension TemplateValue {
    /// An integer that can count or index.
    var index: Int? { if case .int(let value)? = number { value } else { nil } }
}

/// One field of a `%` format.
private struct TemplateFormat {
    var isLeft: Bool
    var isZero: Bool
    var sign: String
    var width: Int
    var precision: Int?
    let kind: Unicode.Scalar

    init(flags: String, kind: Unicode.Scalar) throws {
        let marks = flags.prefix { "-0+ ".contains($0) }
        isLeft = marks.contains("-")
        isZero = marks.contains("0") && !isLeft
        sign = marks.contains("+") ? "+" : marks.contains(" ") ? " " : ""
        let rest = flags.dropFirst(marks.count).split(separator: ".", omittingEmptySubsequences: false)
        width = rest.first.flatMap { Int($0) } ?? 0
        precision = rest.count > 1 ? Int(rest[1]) ?? 0 : nil
        self.kind = kind
        guard width <= 4096, (precision ?? 0) <= 4096 else { throw TemplateFault("a '%' format is too wide") }
    }

    func text(of value: TemplateValue) throws -> String {
        switch kind {
        case "s": return padded(try cut(try value.text()))
        case "r":
            var text = ""
            try value.appendLiteral(to: &text)
            return padded(try cut(text))
        case "d", "i", "x", "f", "F":
            guard let number = value.number else { throw TemplateFault("'%\(kind)' needs a number") }
            return padded(try digits(number))
        default: throw TemplateFault("the format '%\(kind)' is not supported")
        }
    }

    private func digits(_ number: TemplateValue.Number) throws -> String {
        if kind == "f" || kind == "F" {
            let text = String(format: "%.\(precision ?? 6)f", number.double)
            return text.hasPrefix("-") ? text : sign + text
        }
        let whole: Int
        switch number {
        case .int(let value): whole = value
        case .float(let value):
            guard kind != "x", let exact = Int(exactly: value.rounded(.towardZero)) else {
                throw TemplateFault("'%\(kind)' needs an integer")
            }
            whole = exact
        }
        let text = String(whole, radix: kind == "x" ? 16 : 10)
        return whole < 0 ? text : sign + text
    }

    private func cut(_ text: String) throws -> String {
        guard let precision else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.prefix(precision)))
    }

    private func padded(_ text: String) -> String {
        let missing = width - text.unicodeScalars.count
        guard missing > 0 else { return text }
        let space = String(repeating: " ", count: missing)
        if isLeft { return text + space }
        guard isZero, kind != "s", kind != "r" else { return space + text }
        let mark = text.prefix { "+- ".contains($0) }
        return mark + String(repeating: "0", count: missing) + text.dropFirst(mark.count)
    }
}
