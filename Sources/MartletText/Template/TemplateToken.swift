/// What the lexer makes of a template's text.
enum TemplateToken: Equatable {
    case data(String)
    case variableBegin, variableEnd, blockBegin, blockEnd
    case name(String)
    case string(String)
    case integer(Int)
    case float(Double)
    /// An operator or a bracket, as it is written.
    case symbol(String)
    case end

    var description: String {
        switch self {
        case .data: "text"
        case .variableBegin: "'{{'"
        case .variableEnd: "'}}'"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .name(let name): "'\(name)'"
        case .string: "a string"
        case .integer(let value): "\(value)"
        case .float(let value): "\(value)"
        case .symbol(let text): "'\(text)'"
        case .end: "the end of the template"
        }
    }
}

struct PlacedTemplateToken {
    var token: TemplateToken
    var line: Int
}
