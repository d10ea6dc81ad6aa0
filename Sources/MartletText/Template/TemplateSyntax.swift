/// A template as a tree. Chains of operators, of `elif` and of attributes are flat lists, so that the depth of the tree is
/// the depth of its brackets and blocks, which the parser bounds.
indirect enum TemplateExpression: Sendable {
    case literal(TemplateLiteral)
    case name(Int)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case postfix(TemplateExpression, [TemplatePostfix])
    case arithmetic(TemplateExpression, [(TemplateArithmetic, TemplateExpression)])
    case compare(TemplateExpression, [(TemplateComparison, TemplateExpression)])
    case concatenation([TemplateExpression])
    case and([TemplateExpression])
    case or([TemplateExpression])
    case not(TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case conditional(test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
}

enum TemplateLiteral: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
}

enum TemplatePostfix: Sendable {
    case attribute(String)
    case item(TemplateExpression)
    case slice(TemplateExpression?, TemplateExpression?, TemplateExpression?)
    case call(TemplateArguments)
    case filter(String, TemplateArguments)
    case test(String, TemplateArguments, negated: Bool)
}

struct TemplateArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
    var spread: TemplateExpression?
    var spreadNamed: TemplateExpression?
}

enum TemplateArithmetic: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
}

enum TemplateComparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

indirect enum TemplateTarget: Sendable {
    case name(Int)
    case attribute(namespace: Int, String)
    case tuple([TemplateTarget])
}

struct TemplateStatement: Sendable {
    var line: Int
    var kind: Kind

    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case conditional([(test: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(TemplateLoop)
        case set(TemplateTarget, TemplateExpression)
        case setBlock(TemplateTarget, filters: [TemplatePostfix], body: [TemplateStatement])
        case macro(TemplateMacroSyntax)
        case callBlock(TemplateExpression, TemplateMacroSyntax)
        case filterBlock([TemplatePostfix], body: [TemplateStatement])
        case with([(TemplateTarget, TemplateExpression)], body: [TemplateStatement])
        case generation([TemplateStatement])
        case breakLoop, continueLoop
    }
}

struct TemplateLoop: Sendable {
    var target: TemplateTarget
    var items: TemplateExpression
    var filter: TemplateExpression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
}

struct TemplateMacroSyntax: Sendable {
    var name: String
    var parameters: [Int]
    var parameterNames: [String]
    /// The values of the last parameters where a call leaves them out.
    var defaults: [TemplateExpression]
    var body: [TemplateStatement]
}

/// Names of variables as numbers, so that a look-up compares numbers.
struct TemplateNames: Sendable {
    private(set) var texts: [String] = []
    private var numbers: [String: Int] = [:]

    mutating func number(_ text: String) -> Int {
        if let number = numbers[text] { return number }
        texts.append(text)
        numbers[text] = texts.count - 1
        return texts.count - 1
    }

    /// The number of a name that the template holds.
    func known(_ text: String) -> Int? { numbers[text] }
}
