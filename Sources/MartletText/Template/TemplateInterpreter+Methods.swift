extension TemplateInterpreter {
    /// A method of a string, list, dictionary, loop or cycler.
    func call(
        _ name: String, of receiver: TemplateValue, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        try charge(receiver.size.weight >> 6)
        switch receiver {
        case .string(let text): return try call(name, of: text, arguments)
        case .dictionary(let dictionary): return try call(name, of: dictionary, arguments)
        case .list(let list), .tuple(let list):
            if name == "copy" { return receiver }
            guard let wanted = try arguments.matched(["value"], of: name)[0] else {
                throw TemplateFault("'\(name)' needs a value")
            }
            if name == "count" { return .int(try list.items.count { try $0.isEqual(to: wanted) }) }
            guard let place = try list.items.firstIndex(where: { try $0.isEqual(to: wanted) }) else {
                throw TemplateFault("the value is not in the list")
            }
            return .int(place)
        case .loop(let loop): return try call(name, of: loop, arguments)
        case .cycler(let cycler):
            let value = cycler.items.items[cycler.index]
            cycler.index = name == "reset" ? 0 : (cycler.index + 1) % cycler.items.items.count
            return name == "reset" ? .none : value
        default: throw TemplateFault("\(receiver.typeName) has no method '\(name)'")
        }
    }

    private func call(
        _ name: String, of loop: TemplateLoopState, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        if name == "cycle" {
            guard !arguments.positional.isEmpty else { throw TemplateFault("'loop.cycle' needs at least one value") }
            return arguments.positional[loop.index % arguments.positional.count]
        }
        let isSame = try loop.lastChanged.map { last in
            try last.count == arguments.positional.count
                && zip(last, arguments.positional).allSatisfy { try $0.isEqual(to: $1) }
        }
        loop.lastChanged = arguments.positional
        return .bool(isSame != true)
    }

    private func call(
        _ name: String, of dictionary: TemplateDictionary, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        switch name {
        case "get":
            let values = try arguments.matched(["key", "default"], of: name)
            guard let key = values[0] else { throw TemplateFault("'get' needs a key") }
            return try dictionary.value(key) ?? values[1] ?? .none
        case "items": return .list(try TemplateList(try dictionary.pairs()))
        case "keys": return .list(try TemplateList(dictionary.keys))
        case "values": return .list(try TemplateList(dictionary.values))
        default: return .dictionary(dictionary)
        }
    }

    private func call(
        _ name: String, of text: String, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        func values(_ parameters: String...) throws -> [TemplateValue?] { try arguments.matched(parameters, of: name) }
        func string(_ value: TemplateValue?, or fallback: String? = nil) throws -> String {
            if case .string(let text)? = value { return text }
            guard value == nil, let fallback else { throw TemplateFault("'\(name)' takes a string") }
            return fallback
        }
        func optional(_ value: TemplateValue?) throws -> String? {
            if case .none? = value { return nil }
            return try value.map { try string($0) }
        }
        switch name {
        case "upper": return .string(text.uppercased())
        case "lower", "casefold": return .string(text.lowercased())
        case "title": return .string(TemplateText.titled(text))
        case "capitalize": return .string(TemplateText.capitalized(text))
        case "swapcase": return .string(TemplateText.swappedCase(text))
        case "strip", "lstrip", "rstrip":
            let side: TemplateText.Side = name == "strip" ? .both : name == "lstrip" ? .left : .right
            return .string(TemplateText.stripped(text, try optional(try values("chars")[0]), side))
        case "split", "rsplit":
            let given = try values("sep", "maxsplit")
            let parts = try TemplateText.split(
                text, try optional(given[0]), limit: given[1]?.index ?? -1, fromRight: name == "rsplit")
            return .list(try TemplateList(parts.map { .string($0) }))
        case "splitlines":
            let lines = TemplateText.lines(text, keepsEnds: try values("keepends")[0]?.isTrue ?? false)
            return .list(try TemplateList(lines.map { .string($0) }))
        case "partition", "rpartition":
            return try partition(text, try string(try values("sep")[0]), fromRight: name == "rpartition")
        case "startswith", "endswith": return try affix(text, try values("prefix")[0], atEnd: name == "endswith")
        case "removeprefix":
            let prefix = try string(try values("prefix")[0])
            let isThere = text.utf8.starts(with: prefix.utf8)
            return .string(isThere ? TemplateText.slice(text, prefix.utf8.count..<text.utf8.count) : text)
        case "removesuffix":
            let suffix = try string(try values("suffix")[0])
            let isThere = text.utf8.reversed().starts(with: suffix.utf8.reversed())
            return .string(isThere ? TemplateText.slice(text, 0..<text.utf8.count - suffix.utf8.count) : text)
        case "replace":
            let given = try values("old", "new", "count")
            return .string(try replaced(text, string(given[0]), string(given[1]), limit: given[2]?.index ?? -1))
        case "join": return .string(try joined(try items(of: try values("iterable")[0] ?? .none), separator: text))
        case "find", "rfind", "index", "rindex", "count": return try find(name, in: text, arguments)
        case "isdigit", "isnumeric", "isdecimal": return .bool(TemplateText.isAll(text, TemplateText.isDigit))
        case "isalpha": return .bool(TemplateText.isAll(text, TemplateText.isLetter))
        case "isalnum":
            return .bool(TemplateText.isAll(text) { TemplateText.isLetter($0) || TemplateText.isDigit($0) })
        case "isspace": return .bool(TemplateText.isAll(text, TemplateText.isSpace))
        case "isupper": return .bool(TemplateText.isCase(text, upper: true))
        case "islower": return .bool(TemplateText.isCase(text, upper: false))
        case "zfill", "ljust", "rjust", "center": return .string(try padded(name, text, arguments))
        default: throw TemplateFault("the method '\(name)' of strings is not supported")
        }
    }

    private func affix(_ text: String, _ value: TemplateValue?, atEnd: Bool) throws -> TemplateValue {
        switch value {
        case .string(let part):
            return .bool(
                atEnd ? text.utf8.reversed().starts(with: part.utf8.reversed()) : text.utf8.starts(with: part.utf8))
        case .tuple(let list):
            for item in list.items where try affix(text, item, atEnd: atEnd).isTrue { return .bool(true) }
            return .bool(false)
        default: throw TemplateFault("'\(atEnd ? "endswith" : "startswith")' takes a string or a tuple of strings")
        }
    }

    private func partition(_ text: String, _ separator: String, fromRight: Bool) throws -> TemplateValue {
        let places = TemplateText.ranges(of: separator, in: text, limit: fromRight ? .max : 1)
        guard !separator.isEmpty else { throw TemplateFault("'partition' needs a separator that is not empty") }
        guard let place = fromRight ? places.last : places.first else {
            let parts: [TemplateValue] =
                fromRight ? [.string(""), .string(""), .string(text)] : [.string(text), .string(""), .string("")]
            return .tuple(try TemplateList(parts))
        }
        return .tuple(
            try TemplateList([
                .string(TemplateText.slice(text, 0..<place.lowerBound)), .string(separator),
                .string(TemplateText.slice(text, place.upperBound..<text.utf8.count)),
            ]))
    }

    func replaced(_ text: String, _ old: String, _ new: String, limit: Int) throws -> String {
        let places = old.isEmpty ? text.utf8.count + 1 : text.utf8.count / old.utf8.count
        let (size, isOver) = places.multipliedReportingOverflow(by: new.utf8.count)
        if isOver || size > TemplateSize.maximumWeight {
            let found = old.isEmpty ? places : TemplateText.ranges(of: old, in: text).count
            let (exact, isExactOver) = found.multipliedReportingOverflow(by: new.utf8.count)
            guard !isExactOver, exact <= TemplateSize.maximumWeight else {
                throw TemplateFault("a text is larger than \(TemplateSize.maximumWeight) bytes", kind: .budget)
            }
        }
        return TemplateText.replaced(text, old, new, limit: limit)
    }

    func joined(_ items: [TemplateValue], separator: String) throws -> String {
        var out = ""
        for (index, item) in items.enumerated() {
            guard case .string(let part) = item else {
                throw TemplateFault("'join' takes strings, not \(item.typeName)")
            }
            if index > 0 { out += separator }
            out += part
            try TemplateSize.check(out)
        }
        return out
    }

    /// `find` and its kin count in code points; `start` and `end` as well.
    private func find(_ name: String, in text: String, _ arguments: TemplateCallArguments) throws -> TemplateValue {
        let values = try arguments.matched(["sub", "start", "end"], of: name)
        guard case .string(let part)? = values[0] else { throw TemplateFault("'\(name)' takes a string") }
        let scalars = Array(text.unicodeScalars)
        func bound(_ value: TemplateValue?, _ fallback: Int) -> Int {
            guard let index = value?.index else { return fallback }
            return min(max(index < 0 ? max(index, -scalars.count) + scalars.count : index, 0), scalars.count)
        }
        let start = bound(values[1], 0)
        let end = bound(values[2], scalars.count)
        let slice = TemplateText.string(start < end ? scalars[start..<end] : [])
        if name == "count" {
            let empty = start <= end ? slice.unicodeScalars.count + 1 : 0
            return .int(part.isEmpty ? empty : TemplateText.ranges(of: part, in: slice).count)
        }
        let isLast = name.hasPrefix("r")
        let place: Int? =
            isLast ? TemplateText.lastRange(of: part, in: slice) : TemplateText.range(of: part, in: slice)?.lowerBound
        guard let place else {
            if name.hasSuffix("index") { throw TemplateFault("the part is not in the string") }
            return .int(-1)
        }
        return .int(start + TemplateText.slice(slice, 0..<place).unicodeScalars.count)
    }

    private func padded(_ name: String, _ text: String, _ arguments: TemplateCallArguments) throws -> String {
        let values = try arguments.matched(name == "zfill" ? ["width"] : ["width", "fillchar"], of: name)
        guard let width = values[0]?.index, width <= 100_000 else {
            throw TemplateFault("'\(name)' takes a width of at most 100,000")
        }
        let fill = name == "zfill" ? "0" : try values.count > 1 ? values[1]?.text() ?? " " : " "
        guard fill.unicodeScalars.count == 1 else { throw TemplateFault("'\(name)' fills with one character") }
        let missing = max(0, width - text.unicodeScalars.count)
        switch name {
        case "ljust": return text + String(repeating: fill, count: missing)
        case "center":
            let left = missing / 2 + (missing & width & 1)
            return String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left)
        case "zfill":
            let sign = text.prefix { $0 == "-" || $0 == "+" }.prefix(1)
            return sign + String(repeating: "0", count: missing) + text.dropFirst(sign.count)
        default: return String(repeating: fill, count: missing) + text
        }
    }
}
