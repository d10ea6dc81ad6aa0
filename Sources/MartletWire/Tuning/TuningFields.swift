/// The fields of one object of a line. Each is read once; in the end what nobody asked for is refused by name, so that a
/// misspelt field never goes unnoticed.
struct TuningFields {
    private let object: JSONObject
    private let path: String
    private var known: Set<String> = []

    init(_ value: JSON, path: String) throws {
        guard case .object(let object) = value else {
            throw MartletError(
                .invalidData, "\(path.isEmpty ? "the line" : "'\(path)'") is \(value.kind) but must be an object")
        }
        self.object = object
        self.path = path.isEmpty ? "" : path + "."
    }

    func param(_ name: String) -> String { path + name }

    func fault(_ name: String, _ problem: String) -> MartletError {
        MartletError(.invalidData, "'\(param(name))' \(problem)", param: param(name))
    }

    /// Whether the field is there and not null.
    func has(_ name: String) -> Bool { object[name].map { !$0.isNull } ?? false }

    mutating func value(_ name: String) -> JSON? {
        known.insert(name)
        return has(name) ? object[name] : nil
    }

    mutating func ignore(_ names: String...) { known.formUnion(names) }

    mutating func required(_ name: String) throws -> JSON {
        guard let value = value(name) else { throw fault(name, "is missing; add it") }
        return value
    }

    mutating func text(_ name: String) throws -> String {
        let value = try required(name)
        guard let text = value.string else { throw fault(name, "is \(value.kind) but must be a string") }
        return text
    }

    mutating func optionalText(_ name: String) throws -> String? { value(name) == nil ? nil : try text(name) }

    mutating func list(_ name: String) throws -> [JSON] {
        let value = try required(name)
        guard let list = value.array else { throw fault(name, "is \(value.kind) but must be a list") }
        return list
    }

    mutating func optionalList(_ name: String) throws -> [JSON] { value(name) == nil ? [] : try list(name) }

    /// A text, or parts that are all texts, one line each.
    mutating func content() throws -> String {
        guard let text = try optionalContent() else { throw fault("content", "is missing; add it") }
        return text
    }

    mutating func optionalContent() throws -> String? {
        guard let value = value("content") else { return nil }
        if let text = value.string { return text }
        guard let parts = value.array else {
            throw fault("content", "is \(value.kind) but must be a string or a list of text parts")
        }
        return try parts.enumerated().map { index, part in
            var fields = try TuningFields(part, path: param("content[\(index)]"))
            let type = try fields.text("type")
            guard ["text", "input_text", "output_text"].contains(type) else {
                throw fields.fault("type", "is '\(type.prefix(40))'; only text is learnt, no images, sound or files")
            }
            let text = try fields.text("text")
            try fields.finish()
            return text
        }.joined(separator: "\n")
    }

    /// Refuses what nobody asked for.
    func finish() throws {
        for key in object.keys where !known.contains(key) {
            let near = SchemaReader.nearest(to: key, in: known.sorted())
            throw MartletError(
                .invalidData,
                "unknown field '\(path)\(key.prefix(60))'\(near.map { "; did you mean '\($0)'?" } ?? "; leave it out")",
                param: param(String(key.prefix(60))))
        }
    }
}
