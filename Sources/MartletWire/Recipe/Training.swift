/// The `training` section of a recipe.
public struct TrainingConfig: Codable, Sendable, Equatable {
    /// Passes over the training split; ignored where `steps` is set.
    public var epochs: Int = 5
    /// Optimizer steps; overrides `epochs`.
    public var steps: Int?
    /// Rows per optimizer step, before accumulation.
    public var batchSize: Int = 32
    /// Micro-batches whose gradients are averaged into one step.
    public var accumulate: Int = 1
    public var optimizer = OptimizerConfig()
    public var schedule = ScheduleConfig()
    public var regularization = RegularizationConfig()
    /// Largest global L2 norm of the gradient; nil does not clip.
    public var clipNorm: Double?
    public var earlyStopping: EarlyStoppingConfig?
    public var checkpoint = CheckpointConfig()
    public var precision: Precision = .float32
    public var seed: Int = 42
    /// Visit the training rows in a new seeded order each epoch.
    public var shuffle: Bool = true

    public enum Precision: String, Codable, Sendable, CaseIterable { case float32 }

    public init() {}

    enum CodingKeys: String, CodingKey {
        case epochs, steps, batchSize = "batch_size", accumulate, optimizer, schedule, regularization
        case clipNorm = "clip_norm", earlyStopping = "early_stopping", checkpoint, precision, seed, shuffle
    }
}

/// An optimizer and its constants. Formulas and defaults are PyTorch's.
public struct OptimizerConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// Full-batch gradient descent: the step sees every row.
        case gd
        case sgd, momentum, nesterov, adagrad, rmsprop, adam, adamw
    }
    /// How the velocity is formed: `v = βv + g` (classical, PyTorch's) or `v = βv + (1-β)g` (averaged).
    public enum MomentumForm: String, Codable, Sendable, CaseIterable { case classical, averaged }

    public var type: Kind = .adam
    public var learningRate: Double = 0.001
    /// β of momentum and nesterov; also usable with sgd and rmsprop (where the default is 0).
    public var momentum: Double?
    public var form: MomentumForm = .classical
    /// adam, adamw: decay of the first and second moment.
    public var betas: [Double] = [0.9, 0.999]
    /// rmsprop: decay of the mean square.
    public var alpha: Double = 0.99
    /// nil means the optimizer's own default: 1e-10 for adagrad, 1e-8 for the others.
    public var epsilon: Double?
    /// adamw: decoupled decay, PyTorch's default 0.01 where nil; for others it is added to the gradient, default 0.
    public var weightDecay: Double?
    /// What weight decay shrinks.
    public var decay: Decay = .all

    public enum Decay: String, Codable, Sendable, CaseIterable {
        /// Every parameter, as PyTorch's optimizers do by themselves.
        case all
        /// Weights and embeddings, not biases or norms, as language models are trained.
        case weights
    }

    public init(type: Kind = .adam, learningRate: Double = 0.001) {
        self.type = type
        self.learningRate = learningRate
    }

    enum CodingKeys: String, CodingKey {
        case type, learningRate = "learning_rate", momentum, form, betas, alpha, epsilon, weightDecay = "weight_decay",
            decay
    }
}

/// How the learning rate moves over the steps; the factor multiplies `learning_rate`.
public struct ScheduleConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable { case constant, step, cosine, linear }
    public var type: Kind = .constant
    /// Steps of linear warm-up from 0 before the schedule starts.
    public var warmupSteps: Int = 0
    /// step: every how many steps the rate is multiplied by `gamma`.
    public var every: Int = 1000
    public var gamma: Double = 0.1
    /// cosine, linear: the factor at the end of training.
    public var finalFactor: Double = 0

    public init(type: Kind = .constant, warmupSteps: Int = 0) {
        self.type = type
        self.warmupSteps = warmupSteps
    }

    enum CodingKeys: String, CodingKey {
        case type, warmupSteps = "warmup_steps", every, gamma, finalFactor = "final_factor"
    }
}

/// Penalties added to the loss: l1·Σ|w| + l2/2·Σw², over weights only, not biases or norms.
public struct RegularizationConfig: Codable, Sendable, Equatable {
    public var l1: Double = 0
    public var l2: Double = 0
    public init() {}
}

public struct EarlyStoppingConfig: Codable, Sendable, Equatable {
    /// A validation metric: `validation.loss`, `validation.accuracy`, …
    public var metric: String = "validation.loss"
    /// Epochs without improvement before training stops.
    public var patience: Int = 3
    public init() {}
}

public struct CheckpointConfig: Codable, Sendable, Equatable {
    /// `60s`, `5m`, `100 steps` or `1 epoch`.
    public var every: String = "60s"
    /// How many checkpoints stay, besides the best.
    public var keep: Int = 3
    public init() {}
}
