import MartletText
import MartletWire

/// What an eval says of its data and of how answers are judged, read strictly.
struct EvalDefinition: Sendable {
    /// One rule, and when its score is enough.
    struct Criterion: Sendable {
        var grader: Grader
        /// Nil where passing is not a matter of degree: string checks and labels.
        var threshold: Double?

        func passes(_ score: GraderScore) -> Bool { score.value >= (threshold ?? 1) }
    }
    var criteria: [Criterion]
    /// `custom`, `logs` or `stored_completions`.
    var dataKind: String
    /// The shape of an item of a custom source.
    var itemSchema: JSON?
    /// What kept chats must have in their metadata, for the other two.
    var filter: [String: String] = [:]

    private static let criterionLimit = 64

    /// Throws `invalidRequest` with the field as `param`.
    init(dataSourceConfig: JSON, testingCriteria: JSON) throws {
        (dataKind, itemSchema, filter) = try Self.read(config: dataSourceConfig)
        guard let list = testingCriteria.array, (1...Self.criterionLimit).contains(list.count) else {
            throw MartletError(
                .invalidRequest, "'testing_criteria' must be a list of 1 to \(Self.criterionLimit) graders; mend it",
                param: "testing_criteria")
        }
        criteria = try list.enumerated().map { try Self.criterion($1, path: "testing_criteria[\($0)]") }
        let names = criteria.map(\.grader.name)
        guard Set(names).count == names.count else {
            throw MartletError(
                .invalidRequest, "two graders of 'testing_criteria' have one name; give each its own",
                param: "testing_criteria")
        }
    }

    private static func criterion(_ value: JSON, path: String) throws -> Criterion {
        let grader = try Grader(value, path: path, extra: ["pass_threshold", "id"])
        var fields = try GraderFields(value, path: path)
        let given = try fields.number("pass_threshold")
        switch grader {
        case .stringCheck, .labelModel:
            guard given == nil else {
                throw fields.fault("pass_threshold", "is not taken by \(grader.type); leave it out")
            }
            return Criterion(grader: grader, threshold: nil)
        case .scoreModel(let inner):
            return Criterion(grader: grader, threshold: given ?? (inner.range.lowerBound + inner.range.upperBound) / 2)
        case .textSimilarity, .multi:
            guard let given else {
                throw fields.fault("pass_threshold", "is missing; give the least score that passes")
            }
            return Criterion(grader: grader, threshold: given)
        }
    }

    private static func read(config: JSON) throws -> (String, JSON?, [String: String]) {
        var fields = try GraderFields(config, path: "data_source_config")
        let kind = try fields.choice("type", ["custom", "logs", "stored_completions"])
        guard kind != "custom" else {
            let schema = try fields.required("item_schema")
            guard schema.object != nil else { throw fields.wrongKind("item_schema", schema, "a JSON schema") }
            _ = try fields.bool("include_sample_schema")
            try fields.finish()
            return (kind, schema, [:])
        }
        var filter: [String: String] = [:]
        if let metadata = fields.value("metadata") {
            guard let object = metadata.object else {
                throw fields.wrongKind("metadata", metadata, "an object of texts")
            }
            for (key, value) in object {
                guard let text = value.string else { throw fields.wrongKind("metadata.\(key)", value, "a string") }
                filter[key] = text
            }
        }
        try fields.finish()
        return (kind, nil, filter)
    }

    /// As the API shows it: with the schema that items of a run have.
    static func shown(config: JSON) -> JSON {
        var object: JSONObject = ["type": config["type"] ?? "custom"]
        var properties: JSONObject = ["item": config["item_schema"] ?? ["type": "object"]]
        var required: [JSON] = ["item"]
        if config["type"] != "custom" || config["include_sample_schema"] == true {
            properties["sample"] = ["type": "object", "properties": ["output_text": ["type": "string"]]]
            required.append("sample")
        }
        object["schema"] = ["type": "object", "properties": .object(properties), "required": .array(required)]
        if let metadata = config["metadata"] { object["metadata"] = metadata }
        return .object(object)
    }

    /// Checks one item against the schema.
    func check(item: JSON, number: Int) throws {
        func refused(_ what: String) -> MartletError {
            MartletError(.invalidData, "item \(number + 1) \(what); mend the data or the eval's item_schema")
        }
        guard item.object != nil else { throw refused("is \(item.kind) but must be an object") }
        if let fault = itemSchema.flatMap({ ItemSchema($0).fault(item) }) { throw refused(fault) }
    }
}
