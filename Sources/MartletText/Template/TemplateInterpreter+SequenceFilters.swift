extension TemplateInterpreter {
    /// Filters over lists.
    func sequenceFilter(
        _ name: String, _ value: TemplateValue, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        func values(_ parameters: String...) throws -> [TemplateValue?] { try arguments.matched(parameters, of: name) }
        switch name {
        case "list": return .list(try TemplateList(try items(of: value)))
        case "join":
            let given = try values("d", "attribute")
            let items = try items(of: value).map { item in
                TemplateValue.string(try attribute(given[1], of: item).text())
            }
            return .string(try joined(items, separator: try given[0]?.text() ?? ""))
        case "first":
            if case .lazy(let list) = value { return list.takeFirst() ?? .undefined("the first of no items") }
            return try items(of: value).first ?? .undefined("the first of no items")
        case "last":
            if case .lazy = value { throw TemplateFault("'last' takes a list, not a generator; put '|list' before it") }
            return try items(of: value).last ?? .undefined("the last of no items")
        case "items":
            if case .undefined = value { return .lazy(TemplateLazyList(.empty)) }
            guard case .dictionary(let dictionary) = value else {
                throw TemplateFault("'items' takes a dictionary, not \(value.typeName)")
            }
            return .lazy(TemplateLazyList(try TemplateList(try dictionary.pairs())))
        case "dictsort": return try sortedPairs(value, try values("case_sensitive", "by", "reverse"))
        case "sort":
            let given = try values("reverse", "case_sensitive", "attribute")
            let items = try sorted(
                try items(of: value), by: given[2], isCaseSensitive: given[1]?.isTrue ?? false,
                isReversed: given[0]?.isTrue ?? false, asLists: true)
            return .list(try TemplateList(items))
        case "unique": return try unique(value, try values("case_sensitive", "attribute"))
        case "min", "max":
            return try extreme(value, try values("case_sensitive", "attribute"), isMaximum: name == "max")
        case "sum":
            let given = try values("attribute", "start")
            return try items(of: value).reduce(given[1] ?? .int(0)) { sum, item in
                try charged(try combine(sum, .add, try attribute(given[0], of: item)))
            }
        case "reverse":
            if case .string(let text) = value { return .text(text.unicodeScalars.reversed()) }
            if case .lazy = value { throw TemplateFault("'reverse' takes a list, not a generator") }
            return .lazy(TemplateLazyList(try TemplateList(try items(of: value).reversed())))
        case "batch", "slice":
            return try portions(name, value, try values(name == "batch" ? "linecount" : "slices", "fill_with"))
        case "groupby": return try groups(value, try values("attribute", "default", "case_sensitive"))
        case "map", "select", "reject", "selectattr", "rejectattr": return try each(name, value, arguments)
        case "urlize", "xmlattr", "striptags", "pprint", "random", "truncate", "wordwrap", "filesizeformat",
            "urlencode":
            throw TemplateFault("the filter '\(name)' is not supported in chat templates")
        default: throw TemplateFault("there is no filter '\(name)'")
        }
    }

    /// `a.b.0` of an item; the item itself where no attribute is named.
    private func attribute(
        _ path: TemplateValue?, of item: TemplateValue, default fallback: TemplateValue? = nil
    ) throws -> TemplateValue {
        guard let path else { return item }
        guard case .string(let text) = path else {
            if case .none = path { return item }
            return try self.item(path, of: item)
        }
        var value = item
        for part in text.split(separator: ".", omittingEmptySubsequences: false) {
            let key = part.allSatisfy(\.isNumber) ? Int(part).map { TemplateValue.int($0) } : nil
            value = try self.item(key ?? .string(String(part)), of: value)
            if let fallback, value.isUndefined { value = fallback }
        }
        return value
    }

    private func folded(_ value: TemplateValue, _ isCaseSensitive: Bool) -> TemplateValue {
        if !isCaseSensitive, case .string(let text) = value { return .string(text.lowercased()) }
        return value
    }

    /// Sorted by one or more attributes with commas between them, stable.
    private func sorted(
        _ items: [TemplateValue], by path: TemplateValue?, isCaseSensitive: Bool, isReversed: Bool,
        asLists: Bool = false
    ) throws -> [TemplateValue] {
        try charge(items.count * 4)
        let keys = try items.map { item -> TemplateValue in
            guard case .string(let text)? = path, text.contains(",") else {
                let key = folded(try attribute(path, of: item), isCaseSensitive)
                return asLists ? .list(try TemplateList([key])) : key
            }
            let parts = try text.split(separator: ",").map { part in
                folded(try attribute(.string(String(part)), of: item), isCaseSensitive)
            }
            return .list(try TemplateList(parts))
        }
        let order = try items.indices.sorted { left, right in
            try charge(1)
            if isReversed {
                if try keys[right].isLess(than: keys[left]) { return true }
                return try !keys[left].isLess(than: keys[right]) && left < right
            }
            if try keys[left].isLess(than: keys[right]) { return true }
            return try !keys[right].isLess(than: keys[left]) && left < right
        }
        return order.map { items[$0] }
    }

    private func sortedPairs(_ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        guard case .dictionary(let dictionary) = value else {
            throw TemplateFault("'dictsort' takes a dictionary, not \(value.typeName)")
        }
        let side = try given[1]?.text() ?? "key"
        guard side == "key" || side == "value" else { throw TemplateFault("'dictsort' sorts by key or by value") }
        return .list(
            try TemplateList(
                try sorted(
                    try dictionary.pairs(), by: .int(side == "key" ? 0 : 1),
                    isCaseSensitive: given[0]?.isTrue ?? false, isReversed: given[2]?.isTrue ?? false)))
    }

    private func unique(_ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        var seen = TemplateDictionary()
        var kept: [TemplateValue] = []
        for item in try items(of: value) {
            let key = folded(try attribute(given[1], of: item), given[0]?.isTrue ?? false)
            guard try !seen.holds(key) else { continue }
            try seen.set(key, .none)
            kept.append(item)
        }
        return .lazy(TemplateLazyList(try TemplateList(kept)))
    }

    private func extreme(
        _ value: TemplateValue, _ given: [TemplateValue?], isMaximum: Bool
    ) throws -> TemplateValue {
        let isCaseSensitive = given[0]?.isTrue ?? false
        let items = try items(of: value)
        guard var best = items.first else { return .undefined("the extreme of no items") }
        var bestKey = folded(try attribute(given[1], of: best), isCaseSensitive)
        for item in items.dropFirst() {
            let key = folded(try attribute(given[1], of: item), isCaseSensitive)
            if try isMaximum ? bestKey.isLess(than: key) : key.isLess(than: bestKey) {
                best = item
                bestKey = key
            }
        }
        return best
    }

    private func portions(_ name: String, _ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        guard let count = given[0]?.index, (1...100_000).contains(count) else {
            throw TemplateFault("'\(name)' takes a positive number")
        }
        let items = try items(of: value)
        var fill: TemplateValue?
        if let value = given[1], case .none = value {} else { fill = given[1] }
        var portions: [TemplateValue] = []
        if name == "batch" {
            for start in stride(from: 0, to: items.count, by: count) {
                var part = Array(items[start..<min(start + count, items.count)])
                if let fill { part += Array(repeating: fill, count: count - part.count) }
                portions.append(.list(try TemplateList(part)))
            }
        } else {
            var start = 0
            for index in 0..<count {
                let isLonger = index < items.count % count
                let end = start + items.count / count + (isLonger ? 1 : 0)
                var part = Array(items[start..<end])
                if let fill, !isLonger { part.append(fill) }
                portions.append(.list(try TemplateList(part)))
                start = end
            }
        }
        return .lazy(TemplateLazyList(try TemplateList(portions)))
    }

    private func groups(_ value: TemplateValue, _ given: [TemplateValue?]) throws -> TemplateValue {
        guard let path = given[0] else { throw TemplateFault("'groupby' needs an attribute") }
        let isCaseSensitive = given[2]?.isTrue ?? false
        let pairs = try items(of: value).map { item in
            TemplateValue.tuple(try TemplateList([try attribute(path, of: item, default: given[1]), item]))
        }
        var groups: [(key: TemplateValue, label: TemplateValue, items: [TemplateValue])] = []
        for pair in try sorted(pairs, by: .int(0), isCaseSensitive: isCaseSensitive, isReversed: false) {
            guard case .tuple(let parts) = pair else { continue }
            let key = folded(parts.items[0], isCaseSensitive)
            if let last = groups.last, try last.key.isEqual(to: key) {
                groups[groups.count - 1].items.append(parts.items[1])
            } else {
                groups.append((key, parts.items[0], [parts.items[1]]))
            }
        }
        return .list(
            try TemplateList(
                try groups.map { .tuple(try TemplateList([$0.label, .list(try TemplateList($0.items))])) }))
    }

    /// `map`, `select`, `reject` and the two over attributes.
    private func each(
        _ name: String, _ value: TemplateValue, _ arguments: TemplateCallArguments
    ) throws -> TemplateValue {
        var rest = arguments
        func takeName() throws -> String? {
            guard !rest.positional.isEmpty else { return nil }
            guard case .string(let text) = rest.positional.removeFirst() else {
                throw TemplateFault("the first value that '\(name)' takes must be a name")
            }
            return text
        }
        let items = value.isTrue ? try items(of: value) : []
        try charge(items.count)
        if name == "map" {
            if let path = rest.named.first(where: { $0.name == "attribute" })?.value, rest.positional.isEmpty {
                let fallback = rest.named.first { $0.name == "default" }?.value
                let mapped = try items.map { try attribute(path, of: $0, default: fallback) }
                return .lazy(TemplateLazyList(try TemplateList(mapped)))
            }
            guard let filterName = try takeName() else { throw TemplateFault("'map' needs a filter or an attribute") }
            let call = rest
            return .lazy(TemplateLazyList(try TemplateList(try items.map { try filter(filterName, $0, call) })))
        }
        var path: TemplateValue?
        if name.hasSuffix("attr") {
            guard let text = try takeName() else { throw TemplateFault("'\(name)' needs an attribute") }
            path = .string(text)
        }
        let testName = try takeName()
        let call = rest
        let wanted = name.hasPrefix("select")
        let kept = try items.filter { item in
            let subject = try attribute(path, of: item)
            return try (testName.map { try test($0, subject, call) } ?? subject.isTrue) == wanted
        }
        return .lazy(TemplateLazyList(try TemplateList(kept)))
    }
}
