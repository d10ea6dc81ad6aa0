/// Text to tokens, by the rules of Jinja 3.1 with `trim_blocks` and `lstrip_blocks` on, as chat templates are written for.
///
/// One pass over the scalars; nothing recurses.
struct TemplateLexer {
    let source: [Unicode.Scalar]
    var position = 0
    var line = 1
    var tokens: [PlacedTemplateToken] = []
    /// Whether the last thing that was read ended a line: what `lstrip_blocks` asks.
    private var isLineStart = true

    init(_ text: String) {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(text.utf8.count)
        var wasReturn = false
        for scalar in text.unicodeScalars {
            if scalar == "\r" {
                scalars.append("\n")
            } else if !(wasReturn && scalar == "\n") {
                scalars.append(scalar)
            }
            wasReturn = scalar == "\r"
        }
        if scalars.last == "\n" { scalars.removeLast() }
        source = scalars
    }

    static func tokens(of text: String) throws -> [PlacedTemplateToken] {
        var lexer = TemplateLexer(text)
        try lexer.run()
        return lexer.tokens
    }

    private enum Opening {
        case variable, block, comment
        case raw(end: Int)
    }

    private mutating func run() throws {
        while let (start, opening) = nextOpening() {
            let sign = sign(at: start + 2)
            emitText(upTo: start, sign: sign, isVariable: { if case .variable = opening { true } else { false } }())
            switch opening {
            case .raw(let end):
                advance(to: end)
                try raw()
            case .comment:
                advance(to: start + 2)
                try comment()
            case .variable:
                advance(to: start + (sign == nil ? 2 : 3))
                add(.variableBegin)
                try expressionTokens(isBlock: false)
            case .block:
                advance(to: start + (sign == nil ? 2 : 3))
                add(.blockBegin)
                try expressionTokens(isBlock: true)
            }
        }
        if position < source.count { add(.data(text(position..<source.count))) }
        advance(to: source.count)
        add(.end)
    }

    func text(_ range: Range<Int>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: source[range])
        return String(text)
    }

    mutating func add(_ token: TemplateToken) { tokens.append(PlacedTemplateToken(token: token, line: line)) }

    func scalar(_ index: Int) -> Unicode.Scalar? { index < source.count ? source[index] : nil }

    func matches(_ text: StaticString, at index: Int) -> Bool {
        let count = text.utf8CodeUnitCount
        guard index >= 0, source.count - index >= count else { return false }
        for offset in 0..<count where source[index + offset].value != UInt32(text.utf8Start[offset]) { return false }
        return true
    }

    func skippingSpace(from index: Int) -> Int {
        var index = index
        while index < source.count, source[index].properties.isWhitespace { index += 1 }
        return index
    }

    mutating func advance(to end: Int) {
        for index in position..<max(end, position) where source[index] == "\n" { line += 1 }
        if end > position { isLineStart = source[end - 1] == "\n" }
        position = end
    }

    private func sign(at index: Int) -> Unicode.Scalar? {
        guard let found = scalar(index), found == "-" || found == "+" else { return nil }
        return found
    }

    private func nextOpening() -> (Int, Opening)? {
        var index = position
        while index + 1 < source.count {
            if source[index] == "{" {
                switch source[index + 1] {
                case "{": return (index, .variable)
                case "#": return (index, .comment)
                case "%": return (index, rawEnd(at: index).map { .raw(end: $0) } ?? .block)
                default: break
                }
            }
            index += 1
        }
        return nil
    }

    /// The end of `{% raw %}` where it stands at `index`.
    private func rawEnd(at index: Int) -> Int? {
        var cursor = skippingSpace(from: index + (sign(at: index + 2) == nil ? 2 : 3))
        guard matches("raw", at: cursor) else { return nil }
        cursor = skippingSpace(from: cursor + 3)
        if matches("-%}", at: cursor) { return skippingSpace(from: cursor + 3) }
        return matches("%}", at: cursor) ? cursor + 2 : nil
    }

    /// The text before a tag, without what the tag's sign or `lstrip_blocks` takes from its end.
    private mutating func emitText(upTo start: Int, sign: Unicode.Scalar?, isVariable: Bool) {
        var end = start
        if sign == "-" {
            while end > position, source[end - 1].properties.isWhitespace { end -= 1 }
        } else if sign == nil, !isVariable {
            var lineStart = start
            while lineStart > position, source[lineStart - 1] != "\n" { lineStart -= 1 }
            if lineStart > position || isLineStart,
                source[lineStart..<start].allSatisfy({ $0.properties.isWhitespace })
            {
                end = lineStart
            }
        }
        if end > position { add(.data(text(position..<end))) }
        advance(to: start)
    }

    private mutating func raw() throws {
        let first = line
        var index = position
        while index < source.count {
            if matches("{%", at: index), let end = endRaw(at: index) {
                emitText(upTo: index, sign: sign(at: index + 2), isVariable: false)
                advance(to: end)
                return
            }
            index += 1
        }
        throw TemplateFault("'{% raw %}' has no '{% endraw %}'", line: first)
    }

    private func endRaw(at index: Int) -> Int? {
        let cursor = skippingSpace(from: index + (sign(at: index + 2) == nil ? 2 : 3))
        guard matches("endraw", at: cursor) else { return nil }
        return endOfBlock(at: skippingSpace(from: cursor + 6))
    }

    /// Where a `%}`, `-%}` or `+%}` at `index` ends, with what it takes after it.
    func endOfBlock(at index: Int) -> Int? {
        if matches("-%}", at: index) { return skippingSpace(from: index + 3) }
        if matches("+%}", at: index) { return index + 3 }
        guard matches("%}", at: index) else { return nil }
        return scalar(index + 2) == "\n" ? index + 3 : index + 2
    }

    private mutating func comment() throws {
        let first = line
        var index = position
        while index + 1 < source.count {
            if matches("#}", at: index) {
                if index > position, source[index - 1] == "-" {
                    advance(to: skippingSpace(from: index + 2))
                } else if index > position, source[index - 1] == "+" {
                    advance(to: index + 2)
                } else {
                    advance(to: scalar(index + 2) == "\n" ? index + 3 : index + 2)
                }
                return
            }
            index += 1
        }
        throw TemplateFault("a comment has no '#}'", line: first)
    }
}
