/// Tokens to a tree, by Jinja's grammar.
///
/// Recursive descent whose depth is bounded: a template nested deeper than `maximumDepth` is refused before the stack is
/// in danger.
struct TemplateParser {
    static let maximumDepth = 64
    /// Statements of Jinja that reach for other files or are not for chats.
    private static let refused: Set<String> = [
        "include", "import", "from", "extends", "block", "autoescape", "do", "trans", "debug",
    ]

    private let tokens: [PlacedTemplateToken]
    private var index = 0
    private var depth = 0
    private var loopDepth = 0
    var names = TemplateNames()

    static func parse(_ source: String) throws -> (body: [TemplateStatement], names: TemplateNames) {
        var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source))
        let body = try parser.body(until: [])
        return (body, parser.names)
    }

    private init(tokens: [PlacedTemplateToken]) { self.tokens = tokens }

    var token: TemplateToken { tokens[index].token }
    var following: TemplateToken { tokens[min(index + 1, tokens.count - 1)].token }
    var line: Int { tokens[index].line }

    func fault(_ message: String) -> TemplateFault { TemplateFault(message, line: line) }

    mutating func advance() { index = min(index + 1, tokens.count - 1) }

    func isName(_ text: String) -> Bool { token == .name(text) }
    func isSymbol(_ text: String) -> Bool { token == .symbol(text) }

    mutating func take(name text: String) -> Bool {
        guard isName(text) else { return false }
        advance()
        return true
    }

    mutating func take(symbol text: String) -> Bool {
        guard isSymbol(text) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol text: String) throws {
        guard take(symbol: text) else { throw fault("'\(text)' must stand where \(token.description) does") }
    }

    mutating func expectName() throws -> String {
        guard case .name(let name) = token else { throw fault("a name must stand where \(token.description) does") }
        advance()
        return name
    }

    mutating func nested<Result>(_ work: (inout TemplateParser) throws -> Result) throws -> Result {
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw fault("the template is nested deeper than \(Self.maximumDepth) levels")
        }
        defer { depth -= 1 }
        return try work(&self)
    }

    private mutating func endBlock() throws {
        guard token == .blockEnd else { throw fault("'%}' must stand where \(token.description) does") }
        advance()
    }

    /// Statements up to a tag of one of `ends`, which is left to be read: its name is the current token.
    private mutating func body(until ends: Set<String>) throws -> [TemplateStatement] {
        try nested { parser in
            var statements: [TemplateStatement] = []
            while true {
                let line = parser.line
                switch parser.token {
                case .end:
                    guard ends.isEmpty else {
                        throw parser.fault("the template ends before '\(ends.sorted().joined(separator: "' or '"))'")
                    }
                    return statements
                case .data(let text):
                    parser.advance()
                    statements.append(TemplateStatement(line: line, kind: .text(text)))
                case .variableBegin:
                    parser.advance()
                    let value = try parser.tuple()
                    guard parser.token == .variableEnd else {
                        throw parser.fault("'}}' must stand where \(parser.token.description) does")
                    }
                    parser.advance()
                    statements.append(TemplateStatement(line: line, kind: .output(value)))
                case .blockBegin:
                    parser.advance()
                    if case .name(let name) = parser.token, ends.contains(name) { return statements }
                    let kind = try parser.statement()
                    try parser.endBlock()
                    statements.append(TemplateStatement(line: line, kind: kind))
                default: throw parser.fault("\(parser.token.description) is out of place")
                }
            }
        }
    }

    /// The body of a tag that ends with the tag `end`.
    private mutating func block(until end: String) throws -> [TemplateStatement] {
        try endBlock()
        let statements = try body(until: [end])
        advance()
        return statements
    }

    private mutating func statement() throws -> TemplateStatement.Kind {
        let name = try expectName()
        switch name {
        case "if": return try conditional()
        case "for": return try loop()
        case "set": return try assignment()
        case "macro":
            let name = try expectName()
            return .macro(try macro(name: name, end: "endmacro", needsParameters: true))
        case "call": return try callBlock()
        case "filter":
            let filters = try self.filters(isFirst: true)
            return .filterBlock(filters, body: try block(until: "endfilter"))
        case "with": return try with()
        case "generation": return .generation(try block(until: "endgeneration"))
        case "break", "continue":
            guard loopDepth > 0 else { throw fault("'\(name)' stands outside a loop") }
            return name == "break" ? .breakLoop : .continueLoop
        default:
            let remedy = Self.refused.contains(name) ? "is not supported in chat templates" : "is not a tag"
            throw fault("'{% \(name) %}' \(remedy)")
        }
    }

    private mutating func conditional() throws -> TemplateStatement.Kind {
        var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
        while true {
            let test = try tuple(withConditional: false)
            try endBlock()
            branches.append((test, try body(until: ["elif", "else", "endif"])))
            if take(name: "elif") { continue }
            if take(name: "endif") { return .conditional(branches, otherwise: []) }
            advance()
            return .conditional(branches, otherwise: try block(until: "endif"))
        }
    }

    private mutating func loop() throws -> TemplateStatement.Kind {
        let target = try self.target(withAttributes: false)
        guard take(name: "in") else { throw fault("'in' must stand where \(token.description) does") }
        let items = try tuple(withConditional: false, end: "recursive")
        let filter = take(name: "if") ? try expression() : nil
        if isName("recursive") { throw fault("a recursive loop is not supported; write a macro that calls itself") }
        try endBlock()
        loopDepth += 1
        let body = try self.body(until: ["else", "endfor"])
        loopDepth -= 1
        let otherwise: [TemplateStatement]
        if take(name: "endfor") {
            otherwise = []
        } else {
            advance()
            otherwise = try block(until: "endfor")
        }
        return .loop(TemplateLoop(target: target, items: items, filter: filter, body: body, otherwise: otherwise))
    }

    private mutating func assignment() throws -> TemplateStatement.Kind {
        let target = try self.target(withAttributes: true)
        if take(symbol: "=") { return .set(target, try tuple()) }
        let filters = try self.filters(isFirst: false)
        return .setBlock(target, filters: filters, body: try block(until: "endset"))
    }

    private mutating func callBlock() throws -> TemplateStatement.Kind {
        var caller = TemplateMacroSyntax(name: "caller", parameters: [], parameterNames: [], defaults: [], body: [])
        if isSymbol("(") { try parameters(of: &caller) }
        let call = try expression()
        guard case .postfix(_, let parts) = call, case .call? = parts.last else {
            throw fault("'{% call %}' must call a macro")
        }
        let outer = loopDepth
        loopDepth = 0
        caller.body = try block(until: "endcall")
        loopDepth = outer
        return .callBlock(call, caller)
    }

    private mutating func with() throws -> TemplateStatement.Kind {
        var values: [(TemplateTarget, TemplateExpression)] = []
        while token != .blockEnd {
            if !values.isEmpty { try expect(symbol: ",") }
            let target = try primaryTarget(withAttributes: false)
            try expect(symbol: "=")
            values.append((target, try expression()))
        }
        return .with(values, body: try block(until: "endwith"))
    }

    private mutating func macro(name: String, end: String, needsParameters: Bool) throws -> TemplateMacroSyntax {
        var macro = TemplateMacroSyntax(name: name, parameters: [], parameterNames: [], defaults: [], body: [])
        _ = names.number(name)
        try parameters(of: &macro)
        let outer = loopDepth
        loopDepth = 0
        macro.body = try block(until: end)
        loopDepth = outer
        return macro
    }

    private mutating func parameters(of macro: inout TemplateMacroSyntax) throws {
        try expect(symbol: "(")
        while !isSymbol(")") {
            if !macro.parameters.isEmpty { try expect(symbol: ",") }
            if isSymbol(")") { break }
            let name = try expectName()
            macro.parameters.append(names.number(name))
            macro.parameterNames.append(name)
            if take(symbol: "=") {
                macro.defaults.append(try expression())
            } else if !macro.defaults.isEmpty {
                throw fault("the parameter '\(name)' must have a default, as the one before it has")
            }
        }
        try expect(symbol: ")")
    }

    private mutating func target(withAttributes: Bool) throws -> TemplateTarget {
        var targets = [try primaryTarget(withAttributes: withAttributes)]
        guard isSymbol(",") else { return targets[0] }
        while take(symbol: ",") {
            if isName("in") || isSymbol("=") || token == .blockEnd { break }
            targets.append(try primaryTarget(withAttributes: withAttributes))
        }
        return .tuple(targets)
    }

    private mutating func primaryTarget(withAttributes: Bool) throws -> TemplateTarget {
        if take(symbol: "(") {
            let inner = try nested { try $0.target(withAttributes: withAttributes) }
            try expect(symbol: ")")
            return inner
        }
        let name = try expectName()
        if ["true", "false", "none", "True", "False", "None", "loop"].contains(name) {
            throw fault("'\(name)' cannot be given a value")
        }
        if withAttributes, take(symbol: ".") { return .attribute(namespace: names.number(name), try expectName()) }
        return .name(names.number(name))
    }
}
