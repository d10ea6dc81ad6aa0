import MartletWire

/// A value of a template: JSON's, and what templates make. Lists and dictionaries never change (transformers renders in an
/// environment that refuses it), so only namespaces are shared.
///
/// Nothing of the host is reachable: there is no case for it.
enum TemplateValue {
    /// What a missing name or key gives, with the words for a message.
    case undefined(String)
    /// An attribute that the sandbox hides; using it is an error.
    case hidden(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    case list(TemplateList)
    case tuple(TemplateList)
    case dictionary(TemplateDictionary)
    /// The numbers of a `range`, and how it is printed.
    case range(TemplateList, text: String)
    /// What `map`, `select` and the like give: it can be walked once.
    case lazy(TemplateLazyList)
    case namespace(TemplateNamespace)
    case loop(TemplateLoopState)
    case macro(TemplateMacro)
    case function(TemplateFunction)
    indirect case method(TemplateValue, String)
    case cycler(TemplateCycler)
    case joiner(TemplateJoiner)

    static func text(_ scalars: some Sequence<Unicode.Scalar>) -> TemplateValue {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return .string(String(view))
    }

    /// How deep and how large this value is; bounded, so that walking it can exhaust neither stack nor time.
    var size: TemplateSize {
        switch self {
        case .string(let text): TemplateSize(depth: 0, weight: text.utf8.count + 1)
        case .list(let list), .tuple(let list), .range(let list, _): list.size
        case .dictionary(let dictionary): dictionary.size
        case .lazy(let list): list.size
        case .loop(let loop): loop.items.size.deeper
        case .method(let receiver, _): receiver.size.deeper
        case .cycler(let cycler): cycler.items.size.deeper
        // A namespace can change later: it has no place inside another value.
        case .namespace: TemplateSize(depth: TemplateSize.maximumDepth, weight: 1)
        default: TemplateSize(depth: 0, weight: 1)
        }
    }

    var isUndefined: Bool {
        switch self {
        case .undefined, .hidden: true
        default: false
        }
    }

    /// Python's name of the type.
    var typeName: String {
        switch self {
        case .undefined, .hidden: "an undefined value"
        case .none: "None"
        case .bool: "a boolean"
        case .int: "an integer"
        case .float: "a float"
        case .string: "a string"
        case .list: "a list"
        case .tuple: "a tuple"
        case .dictionary: "a dictionary"
        case .range: "a range"
        case .lazy: "a generator"
        case .namespace: "a namespace"
        case .loop: "a loop"
        case .macro: "a macro"
        case .function, .method: "a function"
        case .cycler: "a cycler"
        case .joiner: "a joiner"
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .hidden, .none: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let list), .tuple(let list), .range(let list, _): !list.items.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .loop(let loop): !loop.items.items.isEmpty
        default: true
        }
    }

    init(_ json: JSON) throws {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .int(let value): self = .int(Int(value))
        case .double(let value): self = .float(value)
        case .string(let value): self = .string(value)
        case .array(let values): self = .list(try TemplateList(values.map { try TemplateValue($0) }))
        case .object(let object):
            var dictionary = TemplateDictionary()
            for (key, value) in object { try dictionary.set(.string(key), try TemplateValue(value)) }
            self = .dictionary(dictionary)
        }
    }
}

/// Levels of nesting, and bytes of strings plus items with everything inside counted as often as it would be printed.
struct TemplateSize {
    static let maximumDepth = 128
    static let maximumWeight = 1 << 24
    var depth: Int
    var weight: Int

    var deeper: TemplateSize { TemplateSize(depth: depth + 1, weight: weight) }

    /// Takes in an item of the container whose size this is.
    mutating func add(_ value: TemplateValue) throws {
        let size = value.size
        guard size.depth < Self.maximumDepth else {
            throw TemplateFault("a value is nested deeper than \(Self.maximumDepth) levels, or holds a namespace")
        }
        depth = max(depth, size.depth + 1)
        weight += size.weight
        guard weight <= Self.maximumWeight else {
            throw TemplateFault("a value is larger than \(Self.maximumWeight) bytes", kind: .budget)
        }
    }
}

extension TemplateSize {
    /// Stops a text that grows past what a value may be.
    static func check(_ text: String) throws {
        guard text.utf8.count <= maximumWeight else {
            throw TemplateFault("a text is larger than \(maximumWeight) bytes", kind: .budget)
        }
    }
}

/// Items in order, with their size.
struct TemplateList {
    let items: [TemplateValue]
    let size: TemplateSize

    static var empty: TemplateList { TemplateList(items: [], size: TemplateSize(depth: 1, weight: 1)) }

    private init(items: [TemplateValue], size: TemplateSize) {
        self.items = items
        self.size = size
    }

    init(_ items: [TemplateValue]) throws {
        var size = TemplateSize(depth: 1, weight: 1)
        for item in items { try size.add(item) }
        self.init(items: items, size: size)
    }
}

final class TemplateLazyList {
    private let items: [TemplateValue]
    private var next = 0
    let size: TemplateSize

    init(_ list: TemplateList) {
        items = list.items
        size = list.size
    }

    /// What is left; a second call finds none, as with Python's generators.
    func take() -> [TemplateValue] {
        defer { next = items.count }
        return Array(items[next...])
    }

    func takeFirst() -> TemplateValue? {
        guard next < items.count else { return nil }
        next += 1
        return items[next - 1]
    }
}

final class TemplateNamespace {
    var names: [String] = []
    var values: [TemplateValue] = []

    subscript(_ name: String) -> TemplateValue? {
        get { names.firstIndex { TemplateText.isSame($0, name) }.map { values[$0] } }
        set {
            guard let newValue else { return }
            if let index = names.firstIndex(where: { TemplateText.isSame($0, name) }) {
                values[index] = newValue
            } else {
                names.append(name)
                values.append(newValue)
            }
        }
    }
}

final class TemplateLoopState {
    let items: TemplateList
    var index = 0
    var lastChanged: [TemplateValue]?
    /// Loops around this one in the same body.
    let outerCount: Int

    init(items: TemplateList, outerCount: Int) {
        self.items = items
        self.outerCount = outerCount
    }
}

final class TemplateMacro {
    let syntax: TemplateMacroSyntax
    /// The variables where it was written.
    let frame: TemplateFrame

    init(_ syntax: TemplateMacroSyntax, frame: TemplateFrame) {
        self.syntax = syntax
        self.frame = frame
    }
}

final class TemplateCycler {
    let items: TemplateList
    var index = 0
    init(_ items: TemplateList) { self.items = items }
}

final class TemplateJoiner {
    let separator: String
    var isUsed = false
    init(_ separator: String) { self.separator = separator }
}

enum TemplateFunction: String, CaseIterable {
    case range, dict, namespace, cycler, joiner
    case raiseException = "raise_exception"
    case strftimeNow = "strftime_now"
}

/// Variables of one scope and the scope around it.
final class TemplateFrame {
    var names: [Int] = []
    var values: [TemplateValue] = []
    let parent: TemplateFrame?

    init(parent: TemplateFrame?) { self.parent = parent }

    func set(_ name: Int, _ value: TemplateValue) {
        if let index = names.firstIndex(of: name) {
            values[index] = value
        } else {
            names.append(name)
            values.append(value)
        }
    }

    func clear() {
        names.removeAll(keepingCapacity: true)
        values.removeAll(keepingCapacity: true)
    }
}
