import Foundation
import MartletWire

/// A multi grader's `calculate_output`: arithmetic over the names of other graders.
///
/// `+ - * /`, `^` (to the right, before the sign: -2^2 is -4), brackets, numbers, names, and `min`, `max` (one or more
/// values), `abs`, `floor`, `ceil`, `exp`, `sqrt`, `log` (natural).
public struct ScoreFormula: Sendable, Equatable {
    private indirect enum Node: Sendable, Equatable {
        case number(Double)
        case name(String)
        case negated(Node)
        case binary(Character, Node, Node)
        case call(String, [Node])
    }
    private let root: Node
    /// The names that it needs values for.
    public let names: Set<String>
    public let source: String

    private static let characterLimit = 4096
    private static let depthLimit = 64
    private static let functions: [String: ClosedRange<Int>] = [
        "min": 1...64, "max": 1...64, "abs": 1...1, "floor": 1...1, "ceil": 1...1, "exp": 1...1, "sqrt": 1...1,
        "log": 1...1,
    ]

    /// Throws `invalidRequest` with `param` and the place for what is no formula.
    public init(_ source: String, param: String) throws {
        self.source = source
        guard source.utf8.count <= Self.characterLimit else {
            throw MartletError(
                .invalidRequest, "'\(param)' is longer than \(Self.characterLimit) characters; shorten it", param: param
            )
        }
        var parser = Parser(text: Array(source), param: param)
        root = try parser.whole()
        names = parser.names
    }

    /// The value. Throws `invalidData` where it is not finite, or a name has no value.
    public func value(_ values: [String: Double]) throws -> Double {
        let result = try Self.evaluate(root, values)
        guard result.isFinite else {
            throw MartletError(
                .invalidData,
                "calculate_output '\(source.prefix(100))' has no finite value here; guard against division by zero")
        }
        return result
    }

    private static func evaluate(_ node: Node, _ values: [String: Double]) throws -> Double {
        switch node {
        case .number(let number): return number
        case .name(let name):
            guard let value = values[name] else {
                throw MartletError(.invalidData, "calculate_output needs '\(name)', which has no score")
            }
            return value
        case .negated(let inner): return -(try evaluate(inner, values))
        case .binary(let sign, let left, let right):
            let (left, right) = (try evaluate(left, values), try evaluate(right, values))
            switch sign {
            case "+": return left + right
            case "-": return left - right
            case "*": return left * right
            case "/": return left / right
            default: return pow(left, right)
            }
        case .call(let name, let inner):
            let inner = try inner.map { try evaluate($0, values) }
            guard let first = inner.first else { return .nan }
            switch name {
            case "min": return inner.reduce(first) { $1.isNaN ? $1 : Swift.min($0, $1) }
            case "max": return inner.reduce(first) { $1.isNaN ? $1 : Swift.max($0, $1) }
            case "abs": return Swift.abs(first)
            case "floor": return first.rounded(.down)
            case "ceil": return first.rounded(.up)
            case "exp": return Foundation.exp(first)
            case "sqrt": return first.squareRoot()
            default: return Foundation.log(first)
            }
        }
    }

    /// Recursive descent, with a bound on its depth.
    private struct Parser {
        let text: [Character]
        let param: String
        var position = 0
        var depth = 0
        var names: Set<String> = []

        func fault(_ what: String) -> MartletError {
            MartletError(.invalidRequest, "'\(param)' \(what) at character \(position + 1); mend it", param: param)
        }

        mutating func whole() throws -> Node {
            let node = try sum()
            guard peek() == nil else { throw fault("has '\(peek() ?? " ")', which is not expected") }
            return node
        }

        mutating func peek() -> Character? {
            while position < text.count, text[position].isWhitespace { position += 1 }
            return position < text.count ? text[position] : nil
        }

        mutating func take(_ wanted: Character) -> Bool {
            guard peek() == wanted else { return false }
            position += 1
            return true
        }

        mutating func sum() throws -> Node {
            depth += 1
            defer { depth -= 1 }
            guard depth <= ScoreFormula.depthLimit else { throw fault("is nested too deep") }
            var node = try product()
            while let sign = peek(), sign == "+" || sign == "-" {
                position += 1
                node = .binary(sign, node, try product())
            }
            return node
        }

        mutating func product() throws -> Node {
            var node = try signed()
            while let sign = peek(), sign == "*" || sign == "/" {
                position += 1
                node = .binary(sign, node, try signed())
            }
            return node
        }

        mutating func signed() throws -> Node {
            depth += 1
            defer { depth -= 1 }
            guard depth <= ScoreFormula.depthLimit else { throw fault("is nested too deep") }
            if take("-") { return .negated(try signed()) }
            if take("+") { return try signed() }
            let base = try atom()
            return take("^") ? .binary("^", base, try signed()) : base
        }

        mutating func atom() throws -> Node {
            guard let next = peek() else { throw fault("ends too early") }
            if take("(") {
                let inner = try sum()
                guard take(")") else { throw fault("lacks ')'") }
                return inner
            }
            if next.isASCII, next.isNumber || next == "." { return try number() }
            guard next.isLetter || next == "_" else { throw fault("has '\(next)', which is not expected") }
            let start = position
            while position < text.count, text[position].isLetter || text[position].isNumber || text[position] == "_" {
                position += 1
            }
            let name = String(text[start..<position])
            guard peek() == "(" else {
                names.insert(name)
                return .name(name)
            }
            guard let count = ScoreFormula.functions[name] else {
                throw fault(
                    "calls '\(name.prefix(40))'; known are \(ScoreFormula.functions.keys.sorted().joined(separator: ", "));"
                )
            }
            _ = take("(")
            var arguments = [try sum()]
            while take(",") { arguments.append(try sum()) }
            guard take(")") else { throw fault("lacks ')'") }
            guard count.contains(arguments.count) else { throw fault("gives '\(name)' \(arguments.count) values") }
            return .call(name, arguments)
        }

        mutating func number() throws -> Node {
            let start = position
            func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }
            while position < text.count, isDigit(text[position]) || text[position] == "." { position += 1 }
            if position < text.count, text[position] == "e" || text[position] == "E" {
                position += 1
                if position < text.count, text[position] == "-" || text[position] == "+" { position += 1 }
                while position < text.count, isDigit(text[position]) { position += 1 }
            }
            guard let value = Double(String(text[start..<position])), value.isFinite else {
                throw fault("has '\(String(text[start..<position]).prefix(40))', which is not a number,")
            }
            return .number(value)
        }
    }
}
