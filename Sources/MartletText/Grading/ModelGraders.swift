import MartletWire

/// What a grader wants to hear from a model: the body of one chat completion.
public struct GraderQuestion: Sendable, Equatable {
    public let model: String
    public let messages: [JSON]
    /// The form of the answer, and how its tokens are chosen.
    public let options: JSONObject

    /// As `POST /v1/chat/completions` takes it.
    public var body: JSON {
        var body = options
        body["model"] = .string(model)
        body["messages"] = .array(messages)
        return .object(body)
    }

    /// The form in which the answer comes: an object with one field.
    static func form(_ name: String, field: String, _ schema: JSON) -> JSON {
        [
            "type": "json_schema",
            "json_schema": [
                "name": .string(name), "strict": true,
                "schema": [
                    "type": "object", "properties": .object([field: schema]), "required": [.string(field)],
                    "additionalProperties": false,
                ],
            ],
        ]
    }

    /// The field of an answer, which must be such an object.
    static func field(_ field: String, of answer: String, grader: String) throws -> JSON {
        guard let value = try? JSONParser.parse(answer), let found = value[field] else {
            throw MartletError(
                .invalidData,
                "grader '\(grader)': the model answered '\(answer.prefix(80))' in place of {\"\(field)\": …}; "
                    + "use a model that follows a JSON schema")
        }
        return found
    }
}

/// The messages of a model grader, with templates in their texts.
public struct GraderMessages: Sendable, Equatable {
    private struct Message: Sendable, Equatable {
        var role: String
        var parts: [GraderTemplate]
    }
    private let messages: [Message]
    private static let roles = ["system", "developer", "user", "assistant"]

    /// Reads `input_messages`, a template's `template` or a grader's `input`.
    public init(_ list: [JSON], path: String) throws {
        guard (1...256).contains(list.count) else {
            throw MartletError(
                .invalidRequest, "'\(path)' has \(list.count) messages; give 1 to 256", param: path)
        }
        messages = try list.enumerated().map { index, value in
            var fields = try GraderFields(value, path: "\(path)[\(index)]")
            if fields.value("type") != nil { _ = try fields.choice("type", ["message"]) }
            let role = try fields.choice("role", Self.roles)
            let parts = try Self.texts(try fields.required("content"), path: fields.place(of: "content"))
            try fields.finish()
            return Message(role: role, parts: parts)
        }
    }

    private static func texts(_ content: JSON, path: String) throws -> [GraderTemplate] {
        switch content {
        case .string(let text): return [try GraderTemplate(text, param: path)]
        case .array(let parts):
            return try parts.enumerated().flatMap { index, part in try texts(part, path: "\(path)[\(index)]") }
        case .object:
            var fields = try GraderFields(content, path: path)
            let type = try fields.requiredString("type")
            guard ["input_text", "output_text", "text"].contains(type) else {
                throw fields.fault("type", "is '\(type.prefix(40))'; only text can be read here, no images or sound")
            }
            let text = try fields.requiredString("text")
            fields.ignore("prompt_cache_breakpoint")
            try fields.finish()
            return [try GraderTemplate(text, param: fields.place(of: "text"))]
        case let other:
            throw MartletError(
                .invalidRequest, "'\(path)' is \(other.kind); give a text or a list of parts", param: path)
        }
    }

    /// Whether a message names the answer.
    public var usesSample: Bool { messages.contains { $0.parts.contains(where: \.usesSample) } }

    /// As a chat takes them. Throws `invalidData` for a place without a value.
    public func render(_ context: GraderContext) throws -> [JSON] {
        try messages.map { message in
            let text = try message.parts.map { try $0.render(context) }.joined(separator: "\n")
            return ["role": .string(message.role), "content": .string(text)]
        }
    }
}

/// A model gives the score, a number within `range`.
public struct ScoreModelGrader: Sendable, Equatable {
    public let name: String
    public let model: String
    public let input: GraderMessages
    public let range: ClosedRange<Double>
    private let options: JSONObject

    private static let tokenLimit = 64

    init(_ fields: inout GraderFields) throws {
        name = try fields.requiredString("name")
        model = try fields.requiredString("model")
        input = try GraderMessages(try fields.list("input"), path: fields.place(of: "input"))
        let bounds = fields.value("range").map { $0.array?.compactMap(\.double) ?? [] } ?? [0, 1]
        guard bounds.count == 2, bounds[0].isFinite, bounds[1].isFinite, bounds[0] < bounds[1] else {
            throw fields.fault("range", "must be two numbers, the lower first; mend it")
        }
        range = bounds[0]...bounds[1]
        var options: JSONObject = [
            "response_format": GraderQuestion.form(
                "score", field: "result",
                ["type": "number", "minimum": .double(range.lowerBound), "maximum": .double(range.upperBound)]),
            "temperature": 0, "max_completion_tokens": JSON(Self.tokenLimit),
        ]
        if let value = fields.value("sampling_params") {
            var given = try GraderFields(value, path: fields.place(of: "sampling_params"))
            for name in ["seed", "temperature", "top_p"] {
                if given.value(name) != nil { options[name] = .double(try given.number(name) ?? 0) }
            }
            if let seed = given.object["seed"], !seed.isNull { options["seed"] = seed }
            if let limit = given.value("max_completions_tokens") { options["max_completion_tokens"] = limit }
            given.ignore("reasoning_effort")
            try given.finish()
        }
        self.options = options
    }

    func question(_ context: GraderContext) throws -> GraderQuestion {
        let form: JSON = [
            "role": "system",
            "content": .string(
                "Answer with {\"result\": number} and nothing else; the number is from \(Self.text(range.lowerBound)) to "
                    + "\(Self.text(range.upperBound))."),
        ]
        return GraderQuestion(model: model, messages: [form] + (try input.render(context)), options: options)
    }

    private static func text(_ number: Double) -> String { JSON.double(number).int.map { "\($0)" } ?? "\(number)" }

    func score(answer: String) throws -> Double {
        guard let score = try GraderQuestion.field("result", of: answer, grader: name).double, range.contains(score)
        else {
            throw MartletError(
                .invalidData,
                "grader '\(name)': the model's score in '\(answer.prefix(80))' is no number from "
                    + "\(Self.text(range.lowerBound)) to \(Self.text(range.upperBound)); use another model or range")
        }
        return score
    }
}

/// A model chooses one of `labels`; the passing ones are worth 1.
public struct LabelModelGrader: Sendable, Equatable {
    public let name: String
    public let model: String
    public let input: GraderMessages
    public let labels: [String]
    public let passingLabels: [String]

    private static let tokenLimit = 256

    init(_ fields: inout GraderFields) throws {
        name = try fields.requiredString("name")
        model = try fields.requiredString("model")
        input = try GraderMessages(try fields.list("input"), path: fields.place(of: "input"))
        labels = try fields.strings("labels")
        passingLabels = try fields.strings("passing_labels")
        guard (1...256).contains(labels.count), Set(labels).count == labels.count else {
            throw fields.fault("labels", "must be 1 to 256 different texts; mend them")
        }
        for label in passingLabels where !labels.contains(label) {
            throw fields.fault("passing_labels", "has '\(label.prefix(60))', which is not one of labels; mend it")
        }
        guard !passingLabels.isEmpty else { throw fields.fault("passing_labels", "is empty; name one of labels") }
    }

    func question(_ context: GraderContext) throws -> GraderQuestion {
        let names = JSON.array(labels.map { .string($0) })
        let form: JSON = [
            "role": "system",
            "content": .string(
                "Answer with {\"label\": text} and nothing else; the text is one of \(names.serialized())."),
        ]
        return GraderQuestion(
            model: model, messages: [form] + (try input.render(context)),
            options: [
                "response_format": GraderQuestion.form("label", field: "label", ["type": "string", "enum": names]),
                "temperature": 0, "max_completion_tokens": JSON(Self.tokenLimit),
            ])
    }

    func label(answer: String) throws -> String {
        guard let label = try GraderQuestion.field("label", of: answer, grader: name).string, labels.contains(label)
        else {
            throw MartletError(
                .invalidData,
                "grader '\(name)': the model answered '\(answer.prefix(80))', which is none of the labels; "
                    + "use a model that follows a JSON schema")
        }
        return label
    }
}
