extension TemplateInterpreter {
    private static let textMethods: Set<String> = [
        "upper", "lower", "title", "capitalize", "swapcase", "strip", "lstrip", "rstrip", "split", "rsplit",
        "splitlines", "startswith", "endswith", "replace", "join", "find", "rfind", "index", "count", "isdigit",
        "isalpha", "isalnum", "isspace", "isupper", "islower", "partition", "rpartition", "zfill", "ljust", "rjust",
        "removeprefix", "removesuffix", "format", "format_map", "encode", "center", "isnumeric", "isdecimal",
        "casefold", "rindex",
    ]
    private static let dictionaryMethods: Set<String> = ["get", "items", "keys", "values", "copy"]
    private static let listMethods: Set<String> = ["index", "count", "copy"]
    /// What would change a value: transformers' environment refuses it too.
    private static let changing: Set<String> = [
        "append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem",
    ]

    /// `value.name`: a method first, then a key.
    func attribute(_ name: String, of value: TemplateValue) throws -> TemplateValue {
        if let method = method(name, of: value) { return method }
        switch value {
        case .undefined(let what): throw TemplateFault("\(what) is undefined, so it has no '\(name)'")
        case .hidden(let hidden): throw TemplateValue.isHidden(hidden)
        case .dictionary(let dictionary):
            return dictionary.value(name) ?? .undefined("the key '\(name)' of a dictionary")
        case .namespace(let namespace):
            return namespace[name] ?? .undefined("the attribute '\(name)' of a namespace")
        case .loop(let loop): return try attribute(name, of: loop)
        case .macro(let macro) where name == "name": return .string(macro.syntax.name)
        case .cycler(let cycler) where name == "current": return cycler.items.items[cycler.index]
        default: return .undefined("the attribute '\(name)' of \(value.typeName)")
        }
    }

    private func method(_ name: String, of value: TemplateValue) -> TemplateValue? {
        if name.hasPrefix("__") {
            return value.isUndefined ? nil : .hidden(name)
        }
        switch value {
        case .string: return Self.textMethods.contains(name) ? .method(value, name) : nil
        case .dictionary:
            let isChanging = ["pop", "clear", "update", "setdefault", "popitem"].contains(name)
            if isChanging { return .hidden(name) }
            return Self.dictionaryMethods.contains(name) ? .method(value, name) : nil
        case .list:
            if Self.changing.contains(name), !["update", "setdefault", "popitem"].contains(name) {
                return .hidden(name)
            }
            return Self.listMethods.contains(name) ? .method(value, name) : nil
        case .tuple: return name == "index" || name == "count" ? .method(value, name) : nil
        case .loop: return name == "cycle" || name == "changed" ? .method(value, name) : nil
        case .cycler: return name == "next" || name == "reset" ? .method(value, name) : nil
        default: return nil
        }
    }

    private func attribute(_ name: String, of loop: TemplateLoopState) throws -> TemplateValue {
        let items = loop.items.items
        switch name {
        case "index": return .int(loop.index + 1)
        case "index0": return .int(loop.index)
        case "revindex": return .int(items.count - loop.index)
        case "revindex0": return .int(items.count - loop.index - 1)
        case "first": return .bool(loop.index == 0)
        case "last": return .bool(loop.index == items.count - 1)
        case "length": return .int(items.count)
        case "depth": return .int(1)
        case "depth0": return .int(0)
        case "previtem": return loop.index > 0 ? items[loop.index - 1] : .undefined("the item before the first")
        case "nextitem":
            return loop.index + 1 < items.count ? items[loop.index + 1] : .undefined("the item after the last")
        default: return .undefined("the attribute '\(name)' of a loop")
        }
    }

    /// `value[key]`: a key first, then an attribute.
    func item(_ key: TemplateValue, of value: TemplateValue) throws -> TemplateValue {
        switch value {
        case .undefined(let what): throw TemplateFault("\(what) is undefined, so it has no items")
        case .hidden(let name): throw TemplateValue.isHidden(name)
        case .dictionary(let dictionary):
            if let found = try? dictionary.value(key) { return found }
            guard case .string(let name) = key else { return .undefined("a key of a dictionary") }
            return method(name, of: value) ?? .undefined("the key '\(name)' of a dictionary")
        case .list(let list), .tuple(let list), .range(let list, _):
            if let index = key.index {
                let place = index < 0 ? index + list.items.count : index
                return list.items.indices.contains(place)
                    ? list.items[place] : .undefined("the item \(index) of a list of \(list.items.count)")
            }
        case .string(let text):
            if let index = key.index {
                try charge(text.utf8.count >> 6)
                let scalars = text.unicodeScalars
                let place = index < 0 ? scalars.count + index : index
                guard place >= 0, let found = scalars.dropFirst(place).first else {
                    return .undefined("the character \(index) of a string")
                }
                return .string(String(found))
            }
        default: break
        }
        if case .string(let name) = key { return try attribute(name, of: value) }
        return .undefined("an item of \(value.typeName)")
    }

    @inline(never)
    func slice(
        _ value: TemplateValue, _ start: TemplateExpression?, _ stop: TemplateExpression?,
        _ step: TemplateExpression?, _ frame: TemplateFrame
    ) throws -> TemplateValue {
        func bound(_ expression: TemplateExpression?) throws -> Int? {
            guard let expression else { return nil }
            let value = try evaluate(expression, frame)
            if case .none = value { return nil }
            guard let index = value.index else {
                throw TemplateFault("a bound of a slice must be an integer, not \(value.typeName)")
            }
            return index
        }
        let (first, last, stride) = (try bound(start), try bound(stop), try bound(step) ?? 1)
        guard stride != 0 else { throw TemplateFault("the step of a slice must not be 0") }
        switch value {
        case .list(let list):
            return try charged(
                .list(try TemplateList(Self.places(list.items.count, first, last, stride).map { list.items[$0] })))
        case .tuple(let list), .range(let list, _):
            return try charged(
                .tuple(try TemplateList(Self.places(list.items.count, first, last, stride).map { list.items[$0] })))
        case .string(let text):
            try charge(text.utf8.count >> 4)
            let scalars = Array(text.unicodeScalars)
            return .text(Self.places(scalars.count, first, last, stride).map { scalars[$0] })
        case .undefined(let what): throw TemplateFault("\(what) is undefined, so it has no items")
        case .hidden(let name): throw TemplateValue.isHidden(name)
        default: throw TemplateFault("\(value.typeName) has no slices")
        }
    }

    /// The indices of a slice, by Python's rules.
    private static func places(_ count: Int, _ start: Int?, _ stop: Int?, _ step: Int) -> [Int] {
        func clamped(_ bound: Int, _ low: Int, _ high: Int) -> Int {
            let place = bound < 0 ? (bound < -count ? -1 : bound + count) : bound
            return min(max(place, low), high)
        }
        if step > 0 {
            let first = start.map { $0 < -count ? 0 : clamped($0, 0, count) } ?? 0
            let last = stop.map { $0 < -count ? 0 : clamped($0, 0, count) } ?? count
            guard first < last else { return [] }
            return Array(Swift.stride(from: first, to: last, by: min(step, count)))
        }
        let first = start.map { clamped($0, -1, count - 1) } ?? count - 1
        let last = stop.map { clamped($0, -1, count - 1) } ?? -1
        guard first > last else { return [] }
        return Array(Swift.stride(from: first, to: last, by: max(step, -count)))
    }
}
