extension TemplateValue {
    /// A number, with booleans as 0 and 1.
    enum Number {
        case int(Int)
        case float(Double)

        var double: Double {
            switch self {
            case .int(let value): Double(value)
            case .float(let value): value
            }
        }
    }

    var number: Number? {
        switch self {
        case .bool(let value): .int(value ? 1 : 0)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        default: nil
        }
    }

    /// Python's `==`.
    func isEqual(to other: TemplateValue) throws -> Bool {
        switch (self, other) {
        case (.hidden(let name), _), (_, .hidden(let name)): throw Self.isHidden(name)
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let left), .string(let right)): return TemplateText.isSame(left, right)
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)),
            (.range(let left, _), .range(let right, _)):
            guard left.items.count == right.items.count else { return false }
            for (one, another) in zip(left.items, right.items) where try !one.isEqual(to: another) { return false }
            return true
        case (.dictionary(let left), .dictionary(let right)):
            guard left.count == right.count else { return false }
            for (key, value) in zip(left.keys, left.values) {
                guard let found = try right.value(key), try value.isEqual(to: found) else { return false }
            }
            return true
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        case (.lazy(let left), .lazy(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.function(let left), .function(let right)): return left == right
        default:
            guard let left = number, let right = other.number else { return false }
            if case .int(let one) = left, case .int(let another) = right { return one == another }
            return left.double == right.double
        }
    }

    /// Python's `<`: numbers with numbers, strings with strings, lists with lists.
    func isLess(than other: TemplateValue) throws -> Bool {
        switch (self, other) {
        case (.string(let left), .string(let right)): return TemplateText.isBefore(left, right)
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (one, another) in zip(left.items, right.items) where try !one.isEqual(to: another) {
                return try one.isLess(than: another)
            }
            return left.items.count < right.items.count
        default:
            guard let left = number, let right = other.number else {
                throw TemplateFault("\(typeName) and \(other.typeName) have no order")
            }
            if case .int(let one) = left, case .int(let another) = right { return one < another }
            return left.double < right.double
        }
    }

    /// Python's `in`.
    func holds(_ item: TemplateValue) throws -> Bool {
        switch self {
        case .string(let text):
            guard case .string(let part) = item else {
                throw TemplateFault("'in' looks for a string in a string, not for \(item.typeName)")
            }
            return TemplateText.range(of: part, in: text) != nil
        case .list(let list), .tuple(let list), .range(let list, _):
            return try list.items.contains { try $0.isEqual(to: item) }
        case .dictionary(let dictionary):
            switch item {
            case .undefined, .tuple, .range: return false
            default: return try dictionary.holds(item)
            }
        case .lazy(let list):
            while let next = list.takeFirst() {
                if try next.isEqual(to: item) { return true }
            }
            return false
        case .undefined: return false
        case .namespace: throw TemplateFault("'in' cannot look into a namespace")
        default: throw TemplateFault("'in' cannot look into \(typeName)")
        }
    }
}
