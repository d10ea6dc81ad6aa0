/// Keys and values in the order in which the keys came, with Python's equality of keys: 1, 1.0 and True are one key, and
/// strings are the same only where their code points are.
struct TemplateDictionary {
    private(set) var keys: [TemplateValue] = []
    private(set) var values: [TemplateValue] = []
    private var places: [Key: Int] = [:]
    private(set) var size = TemplateSize(depth: 1, weight: 1)

    private enum Key: Hashable {
        case text(TemplateText)
        case int(Int)
        case float(Double)
        case none
    }

    var count: Int { keys.count }

    private static func key(_ value: TemplateValue) throws -> Key {
        switch value {
        case .string(let text): return .text(TemplateText(text))
        case .int(let value): return .int(value)
        case .bool(let value): return .int(value ? 1 : 0)
        case .float(let value): return Int(exactly: value).map { .int($0) } ?? .float(value)
        case .none: return .none
        default: throw TemplateFault("\(value.typeName) cannot be a key of a dictionary; keys are strings and numbers")
        }
    }

    func value(_ key: TemplateValue) throws -> TemplateValue? { places[try Self.key(key)].map { values[$0] } }

    func value(_ key: String) -> TemplateValue? { places[.text(TemplateText(key))].map { values[$0] } }

    func holds(_ key: TemplateValue) throws -> Bool { places[try Self.key(key)] != nil }

    mutating func set(_ key: TemplateValue, _ value: TemplateValue) throws {
        try size.add(key)
        try size.add(value)
        let place = try Self.key(key)
        if let index = places[place] {
            values[index] = value
        } else {
            places[place] = keys.count
            keys.append(key)
            values.append(value)
        }
    }

    func pairs() throws -> [TemplateValue] {
        try zip(keys, values).map { .tuple(try TemplateList([$0, $1])) }
    }
}

/// A string compared by its code points; Swift's own equality also joins composed with decomposed forms.
struct TemplateText: Hashable {
    let text: String
    init(_ text: String) { self.text = text }

    static func == (left: TemplateText, right: TemplateText) -> Bool { isSame(left.text, right.text) }

    func hash(into hasher: inout Hasher) {
        for byte in text.utf8 { hasher.combine(byte) }
    }

    static func isSame(_ left: String, _ right: String) -> Bool {
        left.utf8.count == right.utf8.count && left.utf8.elementsEqual(right.utf8)
    }

    /// Whether `left` stands before `right` by code points, as in Python.
    static func isBefore(_ left: String, _ right: String) -> Bool {
        left.unicodeScalars.lexicographicallyPrecedes(right.unicodeScalars)
    }
}
