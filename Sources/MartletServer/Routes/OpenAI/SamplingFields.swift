import MartletWire

/// What every way of generating text shares: how tokens are chosen and when an answer ends.
struct SamplingFields {
    var sampling = Sampling()
    var choiceCount = 1
    var minTokens = 0
    var stop: [String] = []
    var ignoreEnd = false
    var isStreamed = false
    var includesUsage = false

    static let tokenLimit = Int(Int32.max) - 1
    private static let penaltyRange = -2.0...2.0
    private static let biasLimit = 1024
    /// OpenAI takes 4; editors and programs that measure models send as many as they know.
    private static let stopLimit = 32
    private static let stopByteLimit = 1024

    /// Reads the fields of chat and text completions. `choiceLimit` is the configuration's `max_choices`.
    init(_ fields: inout RequestFields, choiceLimit: Int) throws {
        sampling.temperature = try fields.number("temperature", 0...2)
        sampling.topP = try fields.number("top_p", 0...1)
        // -1 is how other servers' clients say "off".
        sampling.topK = try fields.int("top_k", -1...Self.tokenLimit).map { max(0, $0) }
        sampling.minP = try fields.number("min_p", 0...1)
        if let penalty = try fields.number("repetition_penalty", 0...10) {
            guard penalty > 0 else { throw fields.fault("repetition_penalty", "is 0; give a number above 0, 1 is off") }
            sampling.repetitionPenalty = penalty
        }
        sampling.presencePenalty = try fields.number("presence_penalty", Self.penaltyRange) ?? 0
        sampling.frequencyPenalty = try fields.number("frequency_penalty", Self.penaltyRange) ?? 0
        sampling.seed = try Self.seed(&fields)
        sampling.logitBias = try Self.logitBias(&fields)
        choiceCount = try fields.int("n", 1...choiceLimit) ?? 1
        minTokens = try fields.int("min_tokens", 0...Self.tokenLimit) ?? 0
        stop = try Self.stop(&fields)
        ignoreEnd = try fields.bool("ignore_eos") ?? false
        isStreamed = try fields.bool("stream") ?? false
        includesUsage = try Self.includesUsage(&fields, isStreamed: isStreamed)
        try OtherServers.refuse(&fields)
        fields.ignore("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
        _ = try fields.choice(
            "service_tier", ["auto", "default", "flex", "scale", "priority", "fast", "standard_only"])
    }

    /// The longest that an answer may be, under the older and the newer name.
    static func maxTokens(_ fields: inout RequestFields, from least: Int) throws -> Int? {
        let older = try fields.int("max_tokens", least...tokenLimit)
        let newer = try fields.int("max_completion_tokens", least...tokenLimit)
        if let older, let newer, older != newer {
            throw fields.fault("max_tokens", "is \(older) and max_completion_tokens \(newer); give one of them")
        }
        return newer ?? older
    }

    /// Who asks and how fast they want it changes nothing here.
    static func ignoreHarmless(_ fields: inout RequestFields) throws {
        fields.ignore(
            "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options")
        _ = try fields.choice(
            "service_tier", ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"])
    }

    private static func seed(_ fields: inout RequestFields) throws -> UInt64? {
        guard let value = fields.value("seed") else { return nil }
        guard let seed = value.int else {
            throw fields.fault("seed", "is \(value.serialized().prefix(40)); give a whole number of 64 bits")
        }
        return UInt64(bitPattern: Int64(seed))
    }

    /// Keys are checked against the vocabulary by the replica.
    private static func logitBias(_ fields: inout RequestFields) throws -> [Int: Double] {
        guard let object = try fields.object("logit_bias")?.object else { return [:] }
        guard object.count <= biasLimit else {
            throw fields.fault("logit_bias", "has \(object.count) tokens; give at most \(biasLimit)")
        }
        var biases: [Int: Double] = [:]
        for (key, value) in object {
            guard let token = Int(key), token >= 0 else {
                throw fields.fault("logit_bias", "has the key '\(key.prefix(40))'; keys are token ids")
            }
            guard let bias = value.double, (-100...100).contains(bias) else {
                throw fields.fault(
                    "logit_bias",
                    "has \(value.serialized().prefix(40)) for token \(token); give a number from -100 to 100")
            }
            biases[token] = bias
        }
        return biases
    }

    private static func stop(_ fields: inout RequestFields) throws -> [String] {
        guard let value = fields.value("stop") else { return [] }
        let texts: [String]
        switch value {
        case .string(let text): texts = [text]
        case .array(let list):
            texts = try list.map { item in
                guard let text = item.string else { throw fields.fault("stop", "must hold strings; mend the list") }
                return text
            }
        default: throw fields.fault("stop", "is \(value.kind) but must be a string or a list of strings; mend it")
        }
        guard texts.count <= stopLimit else {
            throw fields.fault("stop", "has \(texts.count) texts; give at most \(stopLimit)")
        }
        for text in texts where text.isEmpty || text.utf8.count > stopByteLimit {
            throw fields.fault("stop", "has a text of \(text.utf8.count) bytes; give 1 to \(stopByteLimit)")
        }
        return texts
    }

    static func includesUsage(_ fields: inout RequestFields, isStreamed: Bool) throws -> Bool {
        guard let options = try fields.object("stream_options") else { return false }
        guard isStreamed else {
            throw fields.fault("stream_options", "is only taken with stream: true; leave it out")
        }
        var inner = try RequestFields(options, path: fields.param("stream_options"))
        let includesUsage = try inner.bool("include_usage") ?? false
        _ = try inner.bool("include_obfuscation")
        // Tools that measure servers ask for counts with every chunk, and are content with those of the last.
        _ = try inner.bool("continuous_usage_stats")
        try inner.finish()
        return includesUsage
    }
}
