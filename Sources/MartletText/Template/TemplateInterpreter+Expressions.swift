extension TemplateInterpreter {
    // Each case has a function of its own: one large function would put the variables of all cases on the stack at every
    // level of the recursion.
    func evaluate(_ expression: TemplateExpression, _ frame: TemplateFrame) throws -> TemplateValue {
        switch expression {
        case .literal(let literal): return Self.value(literal)
        case .name(let name): return lookUp(name, frame) ?? .undefined("'\(names.texts[name])'")
        default: break
        }
        try enter()
        defer { leave() }
        switch expression {
        case .literal, .name: return .none
        case .list(let items): return .list(try list(items, frame))
        case .tuple(let items): return .tuple(try list(items, frame))
        case .dictionary(let items): return try dictionary(items, frame)
        case .postfix(let base, let parts): return try apply(parts, to: try evaluate(base, frame), frame)
        case .arithmetic(let first, let rest): return try arithmetic(first, rest, frame)
        case .compare(let first, let rest): return try compare(first, rest, frame)
        case .concatenation(let parts): return try concatenation(parts, frame)
        case .and(let parts): return try connect(parts, until: false, frame)
        case .or(let parts): return try connect(parts, until: true, frame)
        case .not(let operand): return .bool(try !evaluate(operand, frame).truth())
        case .negative(let operand): return try negative(try evaluate(operand, frame))
        case .positive(let operand): return try positive(try evaluate(operand, frame))
        case .conditional(let test, let then, let otherwise):
            if try evaluate(test, frame).truth() { return try evaluate(then, frame) }
            return try otherwise.map { try evaluate($0, frame) } ?? .undefined("the value of an 'if' without 'else'")
        }
    }

    private static func value(_ literal: TemplateLiteral) -> TemplateValue {
        switch literal {
        case .none: .none
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .string(let value): .string(value)
        }
    }

    @inline(never)
    private func list(_ items: [TemplateExpression], _ frame: TemplateFrame) throws -> TemplateList {
        try TemplateList(items.map { try evaluate($0, frame) })
    }

    @inline(never)
    private func dictionary(
        _ items: [(key: TemplateExpression, value: TemplateExpression)], _ frame: TemplateFrame
    ) throws -> TemplateValue {
        var dictionary = TemplateDictionary()
        for item in items {
            try dictionary.set(try evaluate(item.key, frame), try evaluate(item.value, frame))
        }
        return .dictionary(dictionary)
    }

    /// The value of the first part whose truth is `stop`, or of the last.
    @inline(never)
    private func connect(
        _ parts: [TemplateExpression], until stop: Bool, _ frame: TemplateFrame
    ) throws -> TemplateValue {
        var value = TemplateValue.none
        for part in parts {
            value = try evaluate(part, frame)
            if try value.truth() == stop { return value }
        }
        return value
    }

    @inline(never)
    private func concatenation(_ parts: [TemplateExpression], _ frame: TemplateFrame) throws -> TemplateValue {
        var text = ""
        for part in parts {
            try evaluate(part, frame).appendText(to: &text)
            try TemplateSize.check(text)
        }
        return try charged(.string(text))
    }

    @inline(never)
    private func arithmetic(
        _ first: TemplateExpression, _ rest: [(TemplateArithmetic, TemplateExpression)], _ frame: TemplateFrame
    ) throws -> TemplateValue {
        var value = try evaluate(first, frame)
        for (kind, operand) in rest {
            value = try charged(try combine(value, kind, try evaluate(operand, frame)))
        }
        return value
    }

    @inline(never)
    private func compare(
        _ first: TemplateExpression, _ rest: [(TemplateComparison, TemplateExpression)], _ frame: TemplateFrame
    ) throws -> TemplateValue {
        var left = try evaluate(first, frame)
        for (kind, operand) in rest {
            let right = try evaluate(operand, frame)
            guard try compare(left, kind, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    func compare(_ left: TemplateValue, _ kind: TemplateComparison, _ right: TemplateValue) throws -> Bool {
        try charge(1 + min(left.size.weight, right.size.weight) >> 6)
        switch kind {
        case .equal: return try left.isEqual(to: right)
        case .notEqual: return try !left.isEqual(to: right)
        case .less: return try left.isLess(than: right)
        case .greater: return try right.isLess(than: left)
        case .lessOrEqual: return try left.isLess(than: right) || left.isEqual(to: right)
        case .greaterOrEqual: return try right.isLess(than: left) || left.isEqual(to: right)
        case .isIn, .isNotIn:
            try charge(right.size.weight >> 6)
            return try right.holds(left) == (kind == .isIn)
        }
    }

    /// `a.b[c](d)|e is f`, one after another.
    @inline(never)
    func apply(_ parts: [TemplatePostfix], to value: TemplateValue, _ frame: TemplateFrame) throws -> TemplateValue {
        var value = value
        for part in parts {
            switch part {
            case .attribute(let name): value = try attribute(name, of: value)
            case .item(let index): value = try item(try evaluate(index, frame), of: value)
            case .slice(let start, let stop, let step): value = try slice(value, start, stop, step, frame)
            case .call(let arguments): value = try call(value, try bind(arguments, frame))
            case .filter(let name, let arguments):
                value = try charged(try filter(name, value, try bind(arguments, frame)))
            case .test(let name, let arguments, let isNegated):
                value = .bool(try test(name, value, try bind(arguments, frame)) != isNegated)
            }
            try charge(1)
        }
        return value
    }

    /// A call with a block: the macro finds the block as `caller`.
    func evaluateCall(
        _ expression: TemplateExpression, caller: TemplateMacro, _ frame: TemplateFrame
    ) throws -> TemplateValue {
        guard case .postfix(let base, let parts) = expression, case .call(let arguments)? = parts.last else {
            throw TemplateFault("'{% call %}' must call a macro")
        }
        let callee = try apply(Array(parts.dropLast()), to: try evaluate(base, frame), frame)
        guard case .macro(let macro) = callee else { throw TemplateFault("'{% call %}' must call a macro") }
        return try call(macro, try bind(arguments, frame), caller: caller)
    }

    @inline(never)
    func bind(_ arguments: TemplateArguments, _ frame: TemplateFrame) throws -> TemplateCallArguments {
        var bound = TemplateCallArguments()
        for argument in arguments.positional { bound.positional.append(try evaluate(argument, frame)) }
        for (name, argument) in arguments.named { bound.named.append((name, try evaluate(argument, frame))) }
        if let spread = arguments.spread { bound.positional += try items(of: try evaluate(spread, frame)) }
        if let spread = arguments.spreadNamed {
            guard case .dictionary(let dictionary) = try evaluate(spread, frame) else {
                throw TemplateFault("what follows '**' in a call must be a dictionary")
            }
            for (key, value) in zip(dictionary.keys, dictionary.values) {
                bound.named.append((try key.text(), value))
            }
        }
        return bound
    }
}

/// The values that a call was given.
struct TemplateCallArguments {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []

    /// The values by parameter, nil where one was left out; one too many or unknown is refused.
    func matched(_ parameters: [String], of callee: String) throws -> [TemplateValue?] {
        guard positional.count <= parameters.count else {
            throw TemplateFault("'\(callee)' takes at most \(parameters.count) values, not \(positional.count)")
        }
        var values: [TemplateValue?] = positional
        values += [TemplateValue?](repeating: nil, count: parameters.count - positional.count)
        for (name, value) in named {
            guard let index = parameters.firstIndex(of: name) else {
                throw TemplateFault("'\(callee)' has no parameter '\(name)'")
            }
            guard case nil = values[index] else { throw TemplateFault("'\(callee)' is given '\(name)' twice") }
            values[index] = value
        }
        return values
    }
}
