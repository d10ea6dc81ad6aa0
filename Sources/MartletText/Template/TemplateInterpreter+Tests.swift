extension TemplateInterpreter {
    /// Jinja's tests: what follows `is`.
    func test(_ name: String, _ value: TemplateValue, _ arguments: TemplateCallArguments) throws -> Bool {
        func operand() throws -> TemplateValue {
            guard arguments.positional.count == 1, arguments.named.isEmpty else {
                throw TemplateFault("the test '\(name)' takes one value")
            }
            return arguments.positional[0]
        }
        func integer() throws -> Int {
            guard let number = value.index else {
                throw TemplateFault("the test '\(name)' takes an integer, not \(value.typeName)")
            }
            return number
        }
        if let comparison = Self.comparisons[name] { return try compare(value, comparison, try operand()) }
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none": return if case .none = value { true } else { false }
        case "boolean": return if case .bool = value { true } else { false }
        case "true": return if case .bool(true) = value { true } else { false }
        case "false": return if case .bool(false) = value { true } else { false }
        case "integer": return if case .int = value { true } else { false }
        case "float": return if case .float = value { true } else { false }
        case "number": return value.number != nil
        case "string": return if case .string = value { true } else { false }
        case "mapping": return if case .dictionary = value { true } else { false }
        case "sequence":
            switch value {
            case .string, .list, .tuple, .range, .dictionary, .undefined, .hidden: return true
            default: return false
            }
        case "iterable":
            switch value {
            case .string, .list, .tuple, .range, .dictionary, .undefined, .hidden, .lazy, .loop: return true
            default: return false
            }
        case "callable":
            switch value {
            case .macro, .function, .method, .joiner, .undefined, .hidden: return true
            default: return false
            }
        case "odd", "even":
            guard case .int(let one)? = try combine(value, .remainder, .int(2)).number else { return false }
            return (one == 1) == (name == "odd")
        case "divisibleby":
            guard let divisor = try operand().index, divisor != 0 else { throw TemplateFault("division by zero") }
            return try integer().remainderReportingOverflow(dividingBy: divisor).partialValue == 0
        case "lower": return TemplateText.isCase(try value.text(), upper: false)
        case "upper": return TemplateText.isCase(try value.text(), upper: true)
        case "escaped": return false
        case "test":
            guard case .string(let other) = value else { return false }
            return Self.names.contains(other) || Self.comparisons[other] != nil
        case "sameas": return try isSame(value, try operand())
        default: throw TemplateFault("there is no test '\(name)'")
        }
    }

    private static let names: Set<String> = [
        "defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping",
        "sequence", "iterable", "callable", "odd", "even", "divisibleby", "lower", "upper", "escaped", "test", "sameas",
    ]

    private static let comparisons: [String: TemplateComparison] = [
        "==": .equal, "eq": .equal, "equalto": .equal, "!=": .notEqual, "ne": .notEqual, ">": .greater,
        "gt": .greater, "greaterthan": .greater, ">=": .greaterOrEqual, "ge": .greaterOrEqual, "<": .less,
        "lt": .less, "lessthan": .less, "<=": .lessOrEqual, "le": .lessOrEqual, "in": .isIn,
    ]

    /// Python's `is`, for the values whose identity a template can know.
    private func isSame(_ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
        switch (left, right) {
        case (.none, .none): true
        case (.bool(let one), .bool(let another)): one == another
        case (.namespace, .namespace), (.macro, .macro): try left.isEqual(to: right)
        case (.int, .int), (.string, .string): try left.isEqual(to: right)
        default: false
        }
    }
}
