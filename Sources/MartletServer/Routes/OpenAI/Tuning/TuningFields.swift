import MartletPlatform
import MartletWire

/// The body of `POST /v1/fine_tuning/jobs`, read strictly.
enum TuningFields {
    private static let largest = Double.greatestFiniteMagnitude
    private static let least = Double.leastNormalMagnitude

    /// Throws `invalidRequest` with the field as `param`.
    static func read(_ value: JSON) throws -> TuningRequest {
        var fields = try RequestFields(value)
        let model = try fields.requiredString("model")
        var request = TuningRequest(model: model, trainingFile: try fields.requiredString("training_file"))
        request.validationFile = try fields.string("validation_file")
        request.suffix = try suffix(&fields)
        request.seed = try fields.int("seed", 0...Int(Int32.max))
        request.metadata = try metadata(&fields)
        try fields.unsupported(
            "integrations", neutral: [.array([])], "metrics stay on this server; read the job's events, or its table")
        let old = try fields.object("hyperparameters")
        if let method = try fields.object("method") {
            guard old == nil else {
                throw fields.fault("hyperparameters", "stands beside 'method'; give them inside of that only")
            }
            try read(method: method, into: &request)
        } else if let old {
            var own = try RequestFields(old, path: "hyperparameters")
            try hyperparameters(&own, into: &request)
            try own.finish()
        }
        try adapter(&fields, into: &request)
        try fields.finish()
        return request
    }

    private static func suffix(_ fields: inout RequestFields) throws -> String? {
        guard let suffix = try fields.string("suffix"), !suffix.isEmpty else { return nil }
        guard suffix.count <= TuningRequest.suffixLimit else {
            throw fields.fault(
                "suffix", "has \(suffix.count) characters; use at most \(TuningRequest.suffixLimit)")
        }
        return suffix
    }

    private static func metadata(_ fields: inout RequestFields) throws -> [String: String]? {
        guard let object = try fields.object("metadata")?.object else { return nil }
        guard object.count <= 16 else { throw fields.fault("metadata", "has \(object.count) pairs; use at most 16") }
        var pairs: [String: String] = [:]
        for (key, value) in object {
            guard (1...64).contains(key.count) else {
                throw fields.fault("metadata", "has the key '\(key.prefix(80))'; use 1 to 64 characters")
            }
            guard let text = value.string, text.count <= 512 else {
                throw fields.fault(
                    "metadata.\(key)", "must be a string of at most 512 characters; it is \(value.kind)")
            }
            pairs[key] = text
        }
        return pairs
    }

    /// `{type, <type>: {hyperparameters, …}}`.
    private static func read(method: JSON, into request: inout TuningRequest) throws {
        var fields = try RequestFields(method, path: "method")
        guard let type = try fields.choice("type", TuningConfig.Method.allCases.map(\.rawValue)),
            let kind = TuningConfig.Method(rawValue: type)
        else { throw fields.fault("type", "is missing; use supervised, dpo or reinforcement") }
        request.method = kind
        for other in TuningConfig.Method.allCases where other != kind {
            guard fields.value(other.rawValue) == nil else {
                throw fields.fault(other.rawValue, "does not belong to the type '\(type)'; leave it out")
            }
        }
        if let own = try fields.object(type) {
            try read(own: own, kind, into: &request)
        } else if kind == .reinforcement {
            throw fields.fault(type, "is missing; it holds the grader")
        }
        try fields.finish()
    }

    private static func read(
        own: JSON, _ kind: TuningConfig.Method, into request: inout TuningRequest
    ) throws {
        var fields = try RequestFields(own, path: "method.\(kind.rawValue)")
        if kind == .reinforcement {
            guard let grader = try fields.object("grader") else { throw fields.fault("grader", "is missing; add it") }
            request.grader = grader
            try fields.unsupported("response_format", "answers are graded as text")
        }
        if let values = try fields.object("hyperparameters") {
            var own = try RequestFields(values, path: "method.\(kind.rawValue).hyperparameters")
            try hyperparameters(&own, into: &request)
            if kind == .dpo { request.beta = try number("beta", least...1000, &own) }
            if kind == .reinforcement { try reinforcement(&own, into: &request) }
            try own.finish()
        }
        try fields.finish()
    }

    private static func hyperparameters(_ fields: inout RequestFields, into request: inout TuningRequest) throws {
        request.epochCount = try int("n_epochs", 1...1000, &fields)
        request.batchSize = try int("batch_size", 1...65_536, &fields)
        request.learningRateMultiplier = try number("learning_rate_multiplier", least...1_000_000, &fields)
    }

    private static func reinforcement(_ fields: inout RequestFields, into request: inout TuningRequest) throws {
        for name in ["compute_multiplier", "eval_interval", "eval_samples"] {
            try fields.unsupported(name, neutral: ["auto"], "leave it out, or give 'auto'")
        }
        try fields.unsupported(
            "reasoning_effort", neutral: ["default"], "models here have no effort to set; give 'default'")
    }

    /// Nil for `auto` too.
    private static func int(_ name: String, _ range: ClosedRange<Int>, _ fields: inout RequestFields) throws -> Int? {
        fields.value(name) == "auto" ? nil : try fields.int(name, range)
    }

    private static func number(
        _ name: String, _ range: ClosedRange<Double>, _ fields: inout RequestFields
    ) throws -> Double? {
        fields.value(name) == "auto" ? nil : try fields.number(name, range)
    }

    /// Our own field: `none` trains every weight, an object is the recipe's `adapter` section.
    private static func adapter(_ fields: inout RequestFields, into request: inout TuningRequest) throws {
        guard let value = fields.value("adapter") else { return }
        if value == "none" {
            request.adapter = nil
        } else if value.object != nil {
            request.adapter = value
        } else if value != "lora" {
            throw fields.fault(
                "adapter", "is \(value.serialized().prefix(40)); give {\"type\": \"lora\", \"rank\": 8}, or \"none\"")
        }
    }
}
