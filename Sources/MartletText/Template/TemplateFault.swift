/// A failure inside a template, before its line is known.
struct TemplateFault: Error {
    enum Kind {
        /// The template's text is at fault, or asks for what is not supported.
        case template
        /// `raise_exception`: the template refuses these messages.
        case raised
        /// A budget is spent.
        case budget
    }
    var kind: Kind
    var message: String
    var line: Int?

    init(_ message: String, kind: Kind = .template, line: Int? = nil) {
        self.message = message
        self.kind = kind
        self.line = line
    }
}
