/// The forms of the `data` section that are more than fields: sources, cleaning and augmentation steps.
enum DataSchema {
    static let source = Schema.custom(
        .init(
            expectation: "a dataset or path, a list of them, or {train: …, validation: …, test: …}",
            jsonSchema: ["type": ["string", "array", "object"]]
        ) { node, reader, path in
            var source = DataSource()
            switch node.value {
            case .scalar(.string(let text)): source.all = [text]
            case .list: source.all = strings(node, &reader, path)
            case .map(let pairs):
                for (key, inner) in pairs {
                    let place = SchemaReader.join(path, key)
                    switch key {
                    case "train": source.train = strings(inner, &reader, place)
                    case "validation": source.validation = strings(inner, &reader, place)
                    case "test": source.test = strings(inner, &reader, place)
                    default: reader.report(inner, place, "unknown key '\(key)'; known here: train, validation, test")
                    }
                }
                if source.train.isEmpty { reader.report(node, path, "'train' is missing; name the training data") }
            default: return nil
            }
            return try? JSON(encoding: source)
        })

    static let interval = Schema.custom(
        .init(
            expectation: "a time, steps or epochs, such as '60s', '100 steps' or '1 epoch'",
            jsonSchema: ["type": "string"]
        ) { node, _, _ in
            guard case .scalar(.string(let text)) = node.value, CheckpointInterval(text) != nil else { return nil }
            return .string(text)
        })

    static let requirement = Schema.custom(
        .init(expectation: "a bar such as '>= 0.90' or '<= 0.1'", jsonSchema: ["type": "string"]) { node, _, _ in
            guard case .scalar(.string(let text)) = node.value, Requirement(text) != nil else { return nil }
            return .string(text)
        })

    /// What judges an answer; its own reader checks it where it is used.
    static let grader = Schema.custom(
        .init(expectation: "a grader, a section with type and name", jsonSchema: ["type": "object"]) { node, _, _ in
            guard case .map = node.value else { return nil }
            return node.json
        })

    /// One key with its settings: `- fill: {columns: [age], with: median}`; also the bare word where none are needed.
    private static func step<Step: Encodable & SendableMetatype>(
        _ what: String, _ names: [String],
        read: @escaping @Sendable (String, inout StepFields) -> Step?
    ) -> Schema {
        .custom(
            .init(
                expectation: "a \(what) step: one of " + names.joined(separator: ", "),
                jsonSchema: ["type": ["string", "object"]]
            ) { node, reader, path in
                let name: String
                var settings = ConfigNode(.map([]), place: node.place)
                switch node.value {
                case .scalar(.string(let word)): name = word
                case .map(let pairs) where pairs.count == 1:
                    name = pairs[0].key
                    settings = pairs[0].node
                default: return nil
                }
                guard names.contains(name) else {
                    let near = SchemaReader.nearest(to: name, in: names).map { "; did you mean '\($0)'?" }
                    reader.report(
                        node, path,
                        "unknown \(what) step '\(name)'\(near ?? "; known: " + names.joined(separator: ", "))")
                    return nil
                }
                var fields = StepFields(settings, SchemaReader.join(path, name))
                let step = read(name, &fields)
                fields.finish(into: &reader)
                return step.flatMap { try? JSON(encoding: $0) }
            })
    }

    static let clean = step(
        "cleaning", ["drop_missing", "fill", "drop_duplicates", "clip", "replace", "cast", "drop_columns"]
    ) { name, fields -> CleanStep? in
        let columns = fields.strings("columns")
        switch name {
        case "drop_missing": return .dropMissing(columns: columns)
        case "drop_duplicates": return .dropDuplicates(columns: columns)
        case "drop_columns":
            fields.require("columns")
            return .dropColumns(columns: columns)
        case "fill":
            fields.require("with")
            return .fill(columns: columns, with: fill(fields.text("with") ?? ""))
        case "clip": return .clip(columns: columns, low: fields.number("low"), high: fields.number("high"))
        case "replace":
            fields.require("values")
            return .replace(columns: columns, values: fields.words("values"))
        default:
            let words = CleanStep.Cast.allCases.map(\.rawValue)
            guard let cast = fields.choice("to", words).flatMap(CleanStep.Cast.init(rawValue:)) else { return nil }
            return .cast(columns: columns, to: cast)
        }
    }

    private static func fill(_ word: String) -> CleanStep.Fill {
        switch word {
        case "mean": .mean
        case "median": .median
        case "mode": .mode
        case "forward": .forward
        default: .constant(word)
        }
    }

    static let augment = step("augmentation", ["flip", "crop", "rotate", "noise", "cutout"]) {
        name, fields -> AugmentStep? in
        switch name {
        case "flip":
            let axes = AugmentStep.Axis.allCases.map(\.rawValue)
            guard let axis = fields.choice("axis", axes, default: "horizontal") else { return nil }
            return AugmentStep.Axis(rawValue: axis).map(AugmentStep.flip)
        case "crop": return .crop(padding: Int(fields.number("padding", in: 1...1_024, default: 4) ?? 4))
        case "rotate": return .rotate(degrees: fields.number("degrees", in: 0...180, default: 10) ?? 10)
        case "noise":
            return .noise(standardDeviation: fields.number("standard_deviation", in: 0...1e6, default: 0.1) ?? 0.1)
        default: return .cutout(size: Int(fields.number("size", in: 1...16_384, default: 8) ?? 8))
        }
    }

    static func strings(_ node: ConfigNode, _ reader: inout SchemaReader, _ path: String) -> [String] {
        reader.read(node, as: .list(.string), at: path)?.array?.compactMap(\.string) ?? []
    }
}

/// The settings of one step, each asked for by name; what nobody asked for is an unknown key.
struct StepFields {
    private let node: ConfigNode
    private let path: String
    private var pairs: [(key: String, node: ConfigNode)] = []
    private var asked: Set<String> = []
    private var reader = SchemaReader()
    /// The setting that a plain value stands for.
    private var plain: ConfigNode?

    init(_ node: ConfigNode, _ path: String) {
        self.node = node
        self.path = path
        switch node.value {
        case .map(let pairs): self.pairs = pairs
        case .scalar(.null): break
        default: plain = node
        }
    }

    private mutating func find(_ name: String) -> ConfigNode? {
        asked.insert(name)
        return pairs.first { $0.key == name }?.node
    }

    /// A setting, or the plain value in its place.
    private mutating func findOrPlain(_ name: String) -> ConfigNode? {
        if let found = find(name) { return found }
        defer { plain = nil }
        return plain
    }

    mutating func require(_ name: String) {
        if find(name) == nil { reader.report(node, path, "'\(name)' is missing; add it") }
    }

    mutating func strings(_ name: String) -> [String] {
        find(name).map { DataSchema.strings($0, &reader, SchemaReader.join(path, name)) } ?? []
    }

    mutating func text(_ name: String) -> String? {
        find(name).flatMap { reader.read($0, as: .string, at: SchemaReader.join(path, name))?.string }
    }

    mutating func words(_ name: String) -> [String: String] {
        guard let found = find(name),
            let object = reader.read(found, as: .map(.string), at: SchemaReader.join(path, name))?.object
        else { return [:] }
        return Dictionary(object.map { ($0.key, $0.value.string ?? "") }, uniquingKeysWith: { $1 })
    }

    mutating func choice(_ name: String, _ words: [String], default fallback: String? = nil) -> String? {
        guard let found = findOrPlain(name) else {
            if fallback == nil {
                reader.report(node, path, "'\(name)' is missing; give one of \(words.joined(separator: ", "))")
            }
            return fallback
        }
        return reader.read(found, as: .choice(words), at: SchemaReader.join(path, name))?.string
    }

    mutating func number(_ name: String, in range: ClosedRange<Double>? = nil, default fallback: Double? = nil)
        -> Double?
    {
        let limits = range ?? -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude
        let found = range == nil ? find(name) : findOrPlain(name)
        guard let found else { return fallback }
        return reader.read(found, as: .number(limits), at: SchemaReader.join(path, name))?.double
    }

    mutating func finish(into outer: inout SchemaReader) {
        for pair in pairs where !asked.contains(pair.key) {
            reader.report(
                pair.node, SchemaReader.join(path, pair.key),
                "unknown key '\(pair.key)'; known here: \(asked.sorted().joined(separator: ", "))")
        }
        if let plain { reader.report(plain, path, "\(SchemaReader.shown(plain)) is not a section of settings") }
        for finding in reader.findings {
            outer.report(ConfigNode(.scalar(.null), place: finding.place), finding.path, finding.message)
        }
    }
}
