/// The `adapter` section: small matrices beside a frozen base (Hu et al., 2021). Without it every weight is trained.
public struct AdapterRecipe: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable { case lora }
    public enum BasePrecision: String, Codable, Sendable, CaseIterable {
        case float32
        /// The frozen base in 8 bits, one scale a row (QLoRA's idea; Dettmers et al., 2023).
        case int8
    }
    public var type: Kind = .lora
    public var rank: Int = 8
    /// The addition is scaled by `alpha / rank`; twice the rank where it is left out.
    public var alpha: Double?
    public var dropout: Double = 0
    /// The ends of the names of the linear layers that get one; every linear layer but the output where it is empty.
    public var targets: [String] = []
    public var basePrecision: BasePrecision = .float32
    public init() {}

    enum CodingKeys: String, CodingKey {
        case type, rank, alpha, dropout, targets, basePrecision = "base_precision"
    }
}

/// The `tuning` section: how a registered language model, the recipe's `base`, learns from examples.
///
/// What `training` leaves out (epochs, batch_size, optimizer.learning_rate) is chosen from the data and the model.
public struct TuningConfig: Codable, Sendable, Equatable {
    public enum Method: String, Codable, Sendable, CaseIterable {
        /// Conversations; the loss is on what the assistant says.
        case supervised
        /// Pairs of a better and a worse answer (Rafailov et al., 2023).
        case dpo
        /// The model's own answers, judged by graders.
        case reinforcement
    }
    public var method: Method = .supervised
    /// The chosen learning rate, times this.
    public var learningRateMultiplier: Double?
    /// dpo: how much it costs to move away from the base; 0.1 where it is left out.
    public var beta: Double?
    /// reinforcement: the grader, in OpenAI's form.
    public var grader: JSON?
    /// reinforcement: answers drawn for each prompt of a step.
    public var samples: Int?
    /// reinforcement: most tokens of an answer.
    public var maxTokens: Int?
    public init() {}

    enum CodingKeys: String, CodingKey {
        case method, learningRateMultiplier = "learning_rate_multiplier", beta, grader, samples
        case maxTokens = "max_tokens"
    }
}
