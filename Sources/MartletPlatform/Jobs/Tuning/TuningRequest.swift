import MartletWire

/// A fine-tuning job as OpenAI's API asks for it, read and checked field by field; nil is "auto".
public struct TuningRequest: Sendable {
    public var model: String
    public var trainingFile: String
    public var validationFile: String?
    public var suffix: String?
    public var seed: Int?
    public var metadata: [String: String]?
    public var method = TuningConfig.Method.supervised
    public var epochCount: Int?
    public var batchSize: Int?
    public var learningRateMultiplier: Double?
    /// dpo.
    public var beta: Double?
    /// reinforcement: the grader in OpenAI's form, and what was asked of it besides.
    public var grader: JSON?
    public var samples: Int?
    /// The recipe's `adapter` section; nil trains every weight.
    public var adapter: JSON?

    public static let suffixLimit = 64
    public static let defaultRank: Int64 = 8
    public static let defaultSeed = 42

    public init(model: String, trainingFile: String) {
        self.model = model
        self.trainingFile = trainingFile
        adapter = ["type": "lora", "rank": .int(Self.defaultRank)]
    }

    /// The job that both APIs and the command line know. It depends on nothing but the request, so that a repeated
    /// request is recognised.
    var job: JobRequest {
        let names = TuningNames(base: model, suffix: suffix)
        var tuning: JSONObject = ["method": .string(method.rawValue)]
        tuning["learning_rate_multiplier"] = learningRateMultiplier.map { .double($0) }
        tuning["beta"] = beta.map { .double($0) }
        tuning["grader"] = grader
        tuning["samples"] = samples.map { JSON($0) }
        var training: JSONObject = ["seed": JSON(seed ?? Self.defaultSeed)]
        training["epochs"] = epochCount.map { JSON($0) }
        training["batch_size"] = batchSize.map { JSON($0) }
        var source: JSONObject = ["train": [.string(trainingFile)]]
        source["validation"] = validationFile.map { [.string($0)] }
        var recipe: JSONObject = ["name": .string(names.model), "base": .string(model)]
        recipe["adapter"] = adapter
        recipe["tuning"] = .object(tuning)
        recipe["data"] = ["source": .object(source)]
        recipe["training"] = .object(training)
        var own: JSONObject = [:]
        own["suffix"] = suffix.map { .string($0) }
        own["metadata"] = metadata.map { pairs in
            .object(JSONObject(pairs.sorted { $0.key < $1.key }.map { ($0.key, JSON.string($0.value)) }))
        }
        return JobRequest(kind: .fineTune, name: names.model, recipe: .object(recipe), tuning: .object(own))
    }
}
