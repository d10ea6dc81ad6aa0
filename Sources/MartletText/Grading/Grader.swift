import MartletWire

/// One of OpenAI's graders: a rule that gives an answer a score. A value without any I/O; whoever uses it asks the
/// models that it wants to hear.
///
/// `python` graders are refused: no code of others runs here.
public indirect enum Grader: Sendable, Equatable {
    case stringCheck(StringCheckGrader)
    case textSimilarity(TextSimilarityGrader)
    case scoreModel(ScoreModelGrader)
    case labelModel(LabelModelGrader)
    case multi(MultiGrader)

    /// Reads a grader strictly. `path` is its place in messages, such as `method.reinforcement.grader`.
    ///
    /// `extra` names fields that the caller reads itself. Throws `invalidRequest` with the field as `param`.
    public init(_ value: JSON, path: String, extra: Set<String> = []) throws {
        var object = try GraderFields(value, path: path).object
        for name in extra { object[name] = nil }
        var fields = try GraderFields(.object(object), path: path)
        switch try fields.requiredString("type") {
        case "string_check": self = .stringCheck(try StringCheckGrader(&fields))
        case "text_similarity": self = .textSimilarity(try TextSimilarityGrader(&fields))
        case "score_model": self = .scoreModel(try ScoreModelGrader(&fields))
        case "label_model": self = .labelModel(try LabelModelGrader(&fields))
        case "multi": self = .multi(try MultiGrader(&fields))
        case "python":
            throw fields.fault(
                "type",
                "is 'python', which would run foreign code here; use string_check, text_similarity, "
                    + "score_model, label_model or multi")
        case let other:
            throw fields.fault(
                "type",
                "is '\(other.prefix(60))'; use string_check, text_similarity, score_model, label_model or multi")
        }
        try fields.finish()
    }

    public var name: String {
        switch self {
        case .stringCheck(let grader): grader.name
        case .textSimilarity(let grader): grader.name
        case .scoreModel(let grader): grader.name
        case .labelModel(let grader): grader.name
        case .multi(let grader): grader.name
        }
    }

    /// What the API calls the kind.
    public var type: String {
        switch self {
        case .stringCheck: "string_check"
        case .textSimilarity: "text_similarity"
        case .scoreModel: "score_model"
        case .labelModel: "label_model"
        case .multi: "multi"
        }
    }

    /// The models that it asks, in the order of `questions`.
    public var models: [String] {
        switch self {
        case .stringCheck, .textSimilarity: []
        case .scoreModel(let grader): [grader.model]
        case .labelModel(let grader): [grader.model]
        case .multi(let grader): grader.graders.flatMap(\.grader.models)
        }
    }

    /// What models must be asked before the answer can be judged. Throws `invalidData` for a place without a value.
    public func questions(_ context: GraderContext) throws -> [GraderQuestion] {
        switch self {
        case .stringCheck, .textSimilarity: []
        case .scoreModel(let grader): [try grader.question(context)]
        case .labelModel(let grader): [try grader.question(context)]
        case .multi(let grader): try grader.graders.flatMap { try $0.grader.questions(context) }
        }
    }

    /// The score, with the answers to `questions` in their order.
    ///
    /// Throws `invalidData` for a place without a value, an answer that cannot be read or a formula without a value.
    public func score(_ context: GraderContext, answers: [String] = []) throws -> GraderScore {
        var rest = answers[...]
        return try score(context, &rest)
    }

    private func score(_ context: GraderContext, _ answers: inout ArraySlice<String>) throws -> GraderScore {
        switch self {
        case .stringCheck(let grader): return GraderScore(try grader.score(context))
        case .textSimilarity(let grader): return GraderScore(try grader.score(context))
        case .scoreModel(let grader): return GraderScore(try grader.score(answer: try Self.next(&answers)))
        case .labelModel(let grader):
            let label = try grader.label(answer: try Self.next(&answers))
            return GraderScore(grader.passingLabels.contains(label) ? 1 : 0, label: label)
        case .multi(let grader):
            var parts: [String: Double] = [:]
            for (key, inner) in grader.graders { parts[key] = try inner.score(context, &answers).value }
            return GraderScore(try grader.formula.value(parts), parts: parts)
        }
    }

    private static func next(_ answers: inout ArraySlice<String>) throws -> String {
        guard let answer = answers.popFirst() else {
            throw MartletError(.internal, "a grader's model was not asked; report this")
        }
        return answer
    }

    /// `score` with whoever can ask models. Questions are asked one after the other.
    public func score(
        _ context: GraderContext, ask: @Sendable (GraderQuestion) async throws -> String
    ) async throws -> GraderScore {
        var answers: [String] = []
        for question in try questions(context) { answers.append(try await ask(question)) }
        return try score(context, answers: answers)
    }
}

/// What a grader says of one answer.
public struct GraderScore: Sendable, Equatable {
    /// 0 or 1 for string checks and labels (1 is a passing label), 0 to 1 for similarity, the grader's range for a
    /// model's score, whatever its formula gives for `multi`.
    public var value: Double
    /// What a label grader's model chose.
    public var label: String?
    /// A multi grader's scores by name.
    public var parts: [String: Double]

    public init(_ value: Double, label: String? = nil, parts: [String: Double] = [:]) {
        self.value = value
        self.label = label
        self.parts = parts
    }
}

/// Compares two texts: `eq`, `ne`, `like` (the input holds the reference), `ilike` (the same without regard to case).
public struct StringCheckGrader: Sendable, Equatable {
    public enum Operation: String, Sendable, CaseIterable { case eq, ne, like, ilike }
    public let name: String
    public let input: GraderTemplate
    public let reference: GraderTemplate
    public let operation: Operation

    init(_ fields: inout GraderFields) throws {
        name = try fields.requiredString("name")
        input = try GraderTemplate(try fields.requiredString("input"), param: fields.place(of: "input"))
        reference = try GraderTemplate(try fields.requiredString("reference"), param: fields.place(of: "reference"))
        let text = try fields.choice("operation", Operation.allCases.map(\.rawValue))
        operation = Operation(rawValue: text) ?? .eq
    }

    func score(_ context: GraderContext) throws -> Double {
        let text = try input.render(context), reference = try reference.render(context)
        let holds =
            switch operation {
            // Texts are equal where their characters' codes are: no normalization hides a difference.
            case .eq: text.unicodeScalars.elementsEqual(reference.unicodeScalars)
            case .ne: !text.unicodeScalars.elementsEqual(reference.unicodeScalars)
            case .like: Self.holds(text, reference)
            case .ilike: Self.holds(text.lowercased(), reference.lowercased())
            }
        return holds ? 1 : 0
    }

    private static func holds(_ text: String, _ part: String) -> Bool {
        part.isEmpty || Array(text.utf8).firstRange(of: Array(part.utf8)) != nil
    }
}

/// How alike the input and the reference are.
public struct TextSimilarityGrader: Sendable, Equatable {
    public let name: String
    public let input: GraderTemplate
    public let reference: GraderTemplate
    public let metric: TextSimilarity

    init(_ fields: inout GraderFields) throws {
        name = try fields.requiredString("name")
        input = try GraderTemplate(try fields.requiredString("input"), param: fields.place(of: "input"))
        reference = try GraderTemplate(try fields.requiredString("reference"), param: fields.place(of: "reference"))
        let text = try fields.requiredString("evaluation_metric")
        let known = TextSimilarity.allCases.map(\.rawValue).joined(separator: ", ")
        switch text {
        case "cosine":
            throw fields.fault(
                "evaluation_metric", "is 'cosine', but a grader names no model of embeddings; use \(known)")
        case "meteor":
            throw fields.fault(
                "evaluation_metric", "is 'meteor', whose synonyms need WordNet, which is not here; use \(known)")
        default:
            guard let metric = TextSimilarity(rawValue: text) else {
                throw fields.fault("evaluation_metric", "is '\(text.prefix(60))'; use \(known)")
            }
            self.metric = metric
        }
    }

    func score(_ context: GraderContext) throws -> Double {
        try metric.score(try input.render(context), reference: try reference.render(context))
    }
}

/// Several graders and a formula over their scores.
public struct MultiGrader: Sendable, Equatable {
    public let name: String
    /// By what the formula calls them.
    public let graders: [(key: String, grader: Grader)]
    public let formula: ScoreFormula

    private static let countLimit = 32

    /// `graders` is an object of them by name, a list, or one.
    init(_ fields: inout GraderFields) throws {
        name = try fields.requiredString("name")
        let place = fields.place(of: "graders")
        var graders: [(key: String, grader: Grader)] = []
        switch try fields.required("graders") {
        case .array(let list):
            for (index, value) in list.enumerated() {
                let grader = try Grader(value, path: "\(place)[\(index)]")
                graders.append((grader.name, grader))
            }
        case .object(let object) where object["type"]?.string != nil:
            let grader = try Grader(.object(object), path: place)
            graders.append((grader.name, grader))
        case .object(let object):
            for (key, value) in object { graders.append((key, try Grader(value, path: "\(place).\(key)"))) }
        case let other: throw fields.wrongKind("graders", other, "an object of graders by name")
        }
        guard (1...Self.countLimit).contains(graders.count) else {
            throw fields.fault("graders", "has \(graders.count) graders; give 1 to \(Self.countLimit)")
        }
        for (key, grader) in graders {
            if case .multi = grader {
                throw fields.fault("graders", "has the multi grader '\(key)'; put its graders here")
            }
        }
        let keys = graders.map(\.key)
        guard Set(keys).count == keys.count else {
            throw fields.fault("graders", "has two graders of one name; give each its own")
        }
        formula = try ScoreFormula(
            try fields.requiredString("calculate_output"), param: fields.place(of: "calculate_output"))
        for name in formula.names.sorted() where !keys.contains(name) {
            throw fields.fault(
                "calculate_output", "uses '\(name.prefix(60))'; the graders are \(keys.joined(separator: ", "))")
        }
        self.graders = graders
    }

    public static func == (left: MultiGrader, right: MultiGrader) -> Bool {
        left.name == right.name && left.formula == right.formula
            && left.graders.elementsEqual(right.graders) { $0.key == $1.key && $0.grader == $1.grader }
    }
}
