import MartletWire

/// The fields of one object of a grader, an eval or a batch line: each is read once with its kind, and in the end what
/// nobody asked for is refused by name.
package struct GraderFields {
    package let object: JSONObject
    /// The object's own place in messages, `testing_criteria[0]`; empty for the outermost.
    package let path: String
    private var known: Set<String> = []

    /// Throws `invalidRequest` where `value` is no object.
    package init(_ value: JSON, path: String = "") throws {
        guard case .object(let object) = value else {
            let place = path.isEmpty ? "the body" : "'\(path)'"
            throw MartletError(
                .invalidRequest, "\(place) is \(value.kind); send an object", param: path.isEmpty ? nil : path)
        }
        self.object = object
        self.path = path
    }

    package func place(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    package func fault(_ name: String, _ problem: String) -> MartletError {
        MartletError(.invalidRequest, "'\(place(of: name))' \(problem)", param: place(of: name))
    }

    /// The field's value; null counts as left out.
    package mutating func value(_ name: String) -> JSON? {
        known.insert(name)
        guard let value = object[name], !value.isNull else { return nil }
        return value
    }

    package mutating func required(_ name: String) throws -> JSON {
        guard let value = value(name) else { throw fault(name, "is missing; add it") }
        return value
    }

    package mutating func string(_ name: String) throws -> String? {
        guard let value = value(name) else { return nil }
        guard let text = value.string else { throw wrongKind(name, value, "a string") }
        return text
    }

    package mutating func requiredString(_ name: String) throws -> String {
        let value = try required(name)
        guard let text = value.string else { throw wrongKind(name, value, "a string") }
        return text
    }

    package mutating func choice(_ name: String, _ choices: [String]) throws -> String {
        let text = try requiredString(name)
        guard choices.contains(text) else {
            throw fault(name, "is '\(text.prefix(60))'; use \(choices.joined(separator: ", "))")
        }
        return text
    }

    package mutating func list(_ name: String) throws -> [JSON] {
        let value = try required(name)
        guard let list = value.array else { throw wrongKind(name, value, "a list") }
        return list
    }

    package mutating func strings(_ name: String) throws -> [String] {
        try list(name).enumerated().map { index, value in
            guard let text = value.string else { throw wrongKind("\(name)[\(index)]", value, "a string") }
            return text
        }
    }

    package mutating func number(_ name: String) throws -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.double, number.isFinite else { throw wrongKind(name, value, "a number") }
        return number
    }

    package mutating func bool(_ name: String) throws -> Bool? {
        guard let value = value(name) else { return nil }
        guard let flag = value.bool else { throw wrongKind(name, value, "true or false") }
        return flag
    }

    /// Fields that change nothing here and do no harm.
    package mutating func ignore(_ names: String...) { known.formUnion(names) }

    package func wrongKind(_ name: String, _ value: JSON, _ wanted: String) -> MartletError {
        fault(name, "is \(value.kind) but must be \(wanted); mend it")
    }

    /// Refuses what nobody asked for.
    package func finish() throws {
        for key in object.keys where !known.contains(key) {
            let name = String(key.prefix(60))
            throw fault(name, "is not known here (known are \(known.sorted().joined(separator: ", "))); leave it out")
        }
    }
}
