extension TemplateParser {
    /// One expression, or several with commas between them as a tuple.
    mutating func tuple(
        withConditional: Bool = true, end: String? = nil, isBracketed: Bool = false
    ) throws -> TemplateExpression {
        func isEnd(_ parser: TemplateParser) -> Bool {
            switch parser.token {
            case .variableEnd, .blockEnd, .symbol(")"): true
            case .name(let name): name == end
            default: false
            }
        }
        var items: [TemplateExpression] = []
        var isTuple = false
        while true {
            if !items.isEmpty { try expect(symbol: ",") }
            if isEnd(self) { break }
            items.append(try expression(withConditional: withConditional))
            guard isSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple {
            if let only = items.first { return only }
            guard isBracketed else { throw fault("an expression must stand where \(token.description) does") }
        }
        return .tuple(items)
    }

    mutating func expression(withConditional: Bool = true) throws -> TemplateExpression {
        try nested { parser in
            var value = try parser.disjunction()
            guard withConditional else { return value }
            while parser.take(name: "if") {
                let test = try parser.disjunction()
                let otherwise = parser.take(name: "else") ? try parser.expression() : nil
                value = .conditional(test: test, then: value, otherwise: otherwise)
            }
            return value
        }
    }

    private mutating func disjunction() throws -> TemplateExpression {
        var parts = [try conjunction()]
        while take(name: "or") { parts.append(try conjunction()) }
        return parts.count == 1 ? parts[0] : .or(parts)
    }

    private mutating func conjunction() throws -> TemplateExpression {
        var parts = [try negation()]
        while take(name: "and") { parts.append(try negation()) }
        return parts.count == 1 ? parts[0] : .and(parts)
    }

    private mutating func negation() throws -> TemplateExpression {
        var isNegated = false
        var count = 0
        while take(name: "not") {
            isNegated.toggle()
            count += 1
        }
        let value = try comparison()
        guard count > 0 else { return value }
        return isNegated ? .not(value) : .not(.not(value))
    }

    private mutating func comparison() throws -> TemplateExpression {
        let first = try sum()
        var rest: [(TemplateComparison, TemplateExpression)] = []
        while true {
            if case .symbol(let text) = token, let comparison = TemplateComparison(rawValue: text) {
                advance()
                rest.append((comparison, try sum()))
            } else if take(name: "in") {
                rest.append((.isIn, try sum()))
            } else if isName("not"), following == .name("in") {
                advance()
                advance()
                rest.append((.isNotIn, try sum()))
            } else {
                return rest.isEmpty ? first : .compare(first, rest)
            }
        }
    }

    private mutating func sum() throws -> TemplateExpression {
        try chain(["+", "-"]) { try $0.concatenation() }
    }

    private mutating func concatenation() throws -> TemplateExpression {
        var parts = [try product()]
        while take(symbol: "~") { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : .concatenation(parts)
    }

    private mutating func product() throws -> TemplateExpression {
        try chain(["*", "/", "//", "%"]) { parser in try parser.chain(["**"]) { try $0.unary() } }
    }

    private mutating func chain(
        _ symbols: [String], _ operand: (inout TemplateParser) throws -> TemplateExpression
    ) throws -> TemplateExpression {
        let first = try operand(&self)
        var rest: [(TemplateArithmetic, TemplateExpression)] = []
        while case .symbol(let text) = token, symbols.contains(text), let kind = TemplateArithmetic(rawValue: text) {
            advance()
            rest.append((kind, try operand(&self)))
        }
        return rest.isEmpty ? first : .arithmetic(first, rest)
    }

    private mutating func unary(withFilters: Bool = true) throws -> TemplateExpression {
        var value: TemplateExpression
        if take(symbol: "-") {
            value = .negative(try nested { try $0.unary(withFilters: false) })
        } else if take(symbol: "+") {
            value = .positive(try nested { try $0.unary(withFilters: false) })
        } else {
            value = try primary()
        }
        var parts = try subscripts()
        if withFilters { try filterTail(&parts) }
        if !parts.isEmpty { value = .postfix(value, parts) }
        return value
    }

    private mutating func primary() throws -> TemplateExpression {
        switch token {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return .literal(.bool(true))
            case "false", "False": return .literal(.bool(false))
            case "none", "None": return .literal(.none)
            default: return .name(names.number(name))
            }
        case .string(var text):
            advance()
            while case .string(let more) = token {
                text += more
                advance()
            }
            return .literal(.string(text))
        case .integer(let value):
            advance()
            return .literal(.int(value))
        case .float(let value):
            advance()
            return .literal(.float(value))
        case .symbol("("):
            advance()
            let value = try tuple(isBracketed: true)
            try expect(symbol: ")")
            return value
        case .symbol("["): return .list(try list())
        case .symbol("{"): return try dictionary()
        default: throw fault("\(token.description) is out of place in an expression")
        }
    }

    private mutating func list() throws -> [TemplateExpression] {
        advance()
        var items: [TemplateExpression] = []
        while !isSymbol("]") {
            if !items.isEmpty { try expect(symbol: ",") }
            if isSymbol("]") { break }
            items.append(try expression())
        }
        advance()
        return items
    }

    private mutating func dictionary() throws -> TemplateExpression {
        advance()
        var items: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !isSymbol("}") {
            if !items.isEmpty { try expect(symbol: ",") }
            if isSymbol("}") { break }
            let key = try expression()
            try expect(symbol: ":")
            items.append((key, try expression()))
        }
        advance()
        return .dictionary(items)
    }

    /// Attributes, items and calls that follow a value.
    private mutating func subscripts() throws -> [TemplatePostfix] {
        var parts: [TemplatePostfix] = []
        while true {
            if take(symbol: ".") {
                switch token {
                case .name(let name): parts.append(.attribute(name))
                case .integer(let value): parts.append(.item(.literal(.int(value))))
                default: throw fault("a name must follow '.'")
                }
                advance()
            } else if take(symbol: "[") {
                parts.append(try item())
                try expect(symbol: "]")
            } else if isSymbol("(") {
                parts.append(.call(try arguments()))
            } else {
                return parts
            }
        }
    }

    private mutating func item() throws -> TemplatePostfix {
        var bounds: [TemplateExpression?] = [nil, nil, nil]
        var colons = 0
        while !isSymbol("]") {
            if take(symbol: ":") {
                colons += 1
                guard colons <= 2 else { throw fault("a slice has at most two ':'") }
            } else if bounds[colons] == nil {
                bounds[colons] = try expression()
            } else {
                throw fault("\(token.description) is out of place in '[…]'")
            }
        }
        if colons > 0 { return .slice(bounds[0], bounds[1], bounds[2]) }
        guard let index = bounds[0] else { throw fault("'[]' needs an index") }
        return .item(index)
    }

    private mutating func filterTail(_ parts: inout [TemplatePostfix]) throws {
        while true {
            if isSymbol("|") {
                parts += try filters(isFirst: false)
            } else if isName("is") {
                parts.append(try test())
            } else if isSymbol("(") {
                parts.append(.call(try arguments()))
            } else {
                return
            }
        }
    }

    /// `|name(arguments)` any number of times; the first bar is left out in `{% filter name %}`.
    mutating func filters(isFirst: Bool) throws -> [TemplatePostfix] {
        var isFirst = isFirst
        var parts: [TemplatePostfix] = []
        while isFirst || take(symbol: "|") {
            isFirst = false
            let name = try expectName()
            parts.append(.filter(name, isSymbol("(") ? try arguments() : TemplateArguments()))
        }
        return parts
    }

    private mutating func test() throws -> TemplatePostfix {
        advance()
        let isNegated = take(name: "not")
        let name = try expectName()
        var arguments = TemplateArguments()
        switch token {
        case .symbol("("): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw fault("two tests with 'is' cannot stand in a row")
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            let value = try primary()
            let parts = try subscripts()
            arguments.positional = [parts.isEmpty ? value : .postfix(value, parts)]
        default: break
        }
        return .test(name, arguments, negated: isNegated)
    }

    mutating func arguments() throws -> TemplateArguments {
        advance()
        var arguments = TemplateArguments()
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst { try expect(symbol: ",") }
            if isSymbol(")") { break }
            isFirst = false
            if take(symbol: "*") {
                guard arguments.spread == nil else { throw fault("a call takes one '*'") }
                arguments.spread = try expression()
            } else if take(symbol: "**") {
                guard arguments.spreadNamed == nil else { throw fault("a call takes one '**'") }
                arguments.spreadNamed = try expression()
            } else if case .name(let name) = token, following == .symbol("=") {
                advance()
                advance()
                arguments.named.append((name, try expression()))
            } else {
                guard arguments.named.isEmpty, arguments.spread == nil, arguments.spreadNamed == nil else {
                    throw fault("a value without a name must not follow one with a name")
                }
                arguments.positional.append(try expression())
            }
        }
        advance()
        return arguments
    }
}
