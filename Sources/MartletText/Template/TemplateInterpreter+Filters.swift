extension TemplateInterpreter {
    /// Filters of Jinja by name; those that take the interpreter no further than values.
    func filter(
        _ name: String, _ value: TemplateValue, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        func values(_ parameters: String...) throws -> [TemplateValue?] { try arguments.matched(parameters, of: name) }
        if case .hidden(let hidden) = value, name != "default", name != "d" { throw TemplateValue.isHidden(hidden) }
        try charge(value.size.weight >> 6)
        switch name {
        case "default", "d":
            let given = try values("default_value", "boolean")
            let isMissing = value.isUndefined || (given[1]?.isTrue ?? false && !value.isTrue)
            return isMissing ? given[0] ?? .string("") : value
        case "trim":
            let characters = try values("chars")[0]
            if case .none? = characters { return .string(TemplateText.stripped(try value.text(), nil)) }
            return .string(TemplateText.stripped(try value.text(), try characters?.text()))
        case "upper": return .string(try value.text().uppercased())
        case "lower": return .string(try value.text().lowercased())
        case "title": return .string(titled(try value.text()))
        case "capitalize": return .string(TemplateText.capitalized(try value.text()))
        case "string": return .string(try value.text())
        case "safe": return .string(try value.text())
        case "escape", "e", "forceescape": return .string(escaped(try value.text()))
        case "replace":
            let given = try values("old", "new", "count")
            guard let old = given[0], let new = given[1] else { throw TemplateFault("'replace' needs two strings") }
            return .string(
                try replaced(try value.text(), try old.text(), try new.text(), limit: given[2]?.index ?? -1))
        case "indent":
            guard case .string(let text) = value else {
                throw TemplateFault("'indent' takes a string, not \(value.typeName)")
            }
            return .string(try indented(text, try values("width", "first", "blank")))
        case "wordcount":
            return .int(TemplateText.wordCount(try value.text()))
        case "center":
            var named = arguments
            if named.positional.isEmpty, named.named.isEmpty { named.positional = [.int(80)] }
            return try call("center", of: .string(try value.text()), named)
        case "format": return try combine(value, .remainder, .tuple(try TemplateList(arguments.positional)))
        case "tojson": return .string(try json(value, arguments))
        case "length", "count": return .int(try length(value))
        case "abs":
            switch value.number {
            case .int(let number) where number != .min: return .int(abs(number))
            case .float(let number): return .float(abs(number))
            default: throw TemplateFault("'abs' takes a number, not \(value.typeName)")
            }
        case "int": return try integer(value, try values("default", "base"))
        case "float": return try float(value, try values("default")[0])
        case "round": return try rounded(value, try values("precision", "method"))
        case "attr":
            guard case .string(let attribute)? = try values("name")[0] else {
                throw TemplateFault("'attr' needs a name")
            }
            if case .dictionary = value, let method = try? self.attribute(attribute, of: value), case .method = method {
                return method
            }
            if case .dictionary = value { return .undefined("the attribute '\(attribute)' of a dictionary") }
            return try self.attribute(attribute, of: value)
        default: return try sequenceFilter(name, value, arguments)
        }
    }

    func length(_ value: TemplateValue) throws -> Int {
        switch value {
        case .string(let text): return text.unicodeScalars.count
        case .list(let list), .tuple(let list), .range(let list, _): return list.items.count
        case .dictionary(let dictionary): return dictionary.count
        case .loop(let loop): return loop.items.items.count
        case .undefined: return 0
        default: throw TemplateFault("\(value.typeName) has no length")
        }
    }

    /// Jinja's `title`: words begin after white space and opening brackets.
    private func titled(_ text: String) -> String {
        var out = ""
        var isStart = true
        for scalar in text.unicodeScalars {
            let isBreak = "-({[<".unicodeScalars.contains(scalar) || TemplateText.isSpace(scalar)
            out += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
            isStart = isBreak
        }
        return out
    }

    private func escaped(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&#34;"
            case "'": out += "&#39;"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    private func indented(_ text: String, _ given: [TemplateValue?]) throws -> String {
        let indent: String
        if case .string(let space)? = given[0] {
            indent = space
        } else {
            let width = given[0]?.index ?? 4
            guard width <= 1024 else { throw TemplateFault("'indent' takes a width of at most 1,024") }
            indent = String(repeating: " ", count: max(0, width))
        }
        let indentsBlank = given[2]?.isTrue ?? false
        var out = given[1]?.isTrue ?? false ? indent : ""
        for (index, line) in TemplateText.lines(text + "\n", keepsEnds: false).enumerated() {
            if index > 0 {
                out += "\n"
                if indentsBlank || !line.isEmpty { out += indent }
            }
            out += line
            try TemplateSize.check(out)
        }
        return out
    }

    private func json(_ value: TemplateValue, _ arguments: TemplateCallArguments) throws -> String {
        let given = try arguments.matched(["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
        var style = TemplateJSONStyle()
        style.isASCII = given[0]?.isTrue ?? false
        style.sortsKeys = given[3]?.isTrue ?? false
        switch given[1] {
        case nil, .some(.none): break
        case .string(let text): style.indent = String(text.prefix(32))
        case let width?:
            guard let count = width.index, count <= 32 else { throw TemplateFault("'tojson' indents by at most 32") }
            style.indent = String(repeating: " ", count: max(0, count))
        }
        if style.indent != nil { style.itemSeparator = "," }
        switch given[2] {
        case .list(let list), .tuple(let list):
            guard list.items.count == 2 else { throw TemplateFault("'separators' must be two strings") }
            style.itemSeparator = try list.items[0].text()
            style.keySeparator = try list.items[1].text()
        default: break
        }
        var out = ""
        try value.appendJSON(style, to: &out)
        return out
    }
}
