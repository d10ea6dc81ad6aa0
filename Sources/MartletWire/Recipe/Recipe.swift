/// A declarative description of a model: data, inputs and outputs, training, evaluation, deployment.
///
/// Read one with `RecipeReader`; it reports every fault with file, line, path, expectation and nearest name.
public struct Recipe: Codable, Sendable, Equatable {
    public var name: String = "model"
    public var data = DataConfig()
    public var inputs: [InputConfig] = []
    public var outputs: [OutputConfig] = []
    public var combiner = CombinerConfig()
    /// A language model in place of inputs and outputs.
    public var model: LanguageModelRecipe?
    /// A registered language model, `NAME[@V]` or a tuned model's id, that is trained further.
    public var base: String?
    public var adapter: AdapterRecipe?
    public var tuning: TuningConfig?
    public var training = TrainingConfig()
    public var evaluation = EvaluationConfig()
    public var deploy: DeployConfig?

    public init() {}
}

/// The `combiner` section: how the encoded inputs become one vector, and the dense layers on top of it.
public struct CombinerConfig: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable, CaseIterable { case concat }
    public var type: Kind = .concat
    /// Widths of the dense layers.
    public var layers: [Int] = []
    public var activation: Activation = .relu
    public var dropout: Double = 0
    /// Whether the dense layers have biases.
    public var bias: Bool = true
    public init() {}
}

/// An activation function; `none` is the identity.
public enum Activation: String, Codable, Sendable, CaseIterable {
    case none, relu, gelu, geluTanh = "gelu_tanh", sigmoid, tanh, silu, elu, leakyRelu = "leaky_relu", softplus, softmax
}

/// The `evaluation` section.
public struct EvaluationConfig: Codable, Sendable, Equatable {
    /// Which metrics to show first; empty means what suits the outputs. All are always recorded.
    public var metrics: [String] = []
    /// Metric → `">= 0.90"` or `"<= 0.1"`. A model that misses one is kept, marked, and not deployed.
    public var require: [String: String] = [:]
    public var sample = SampleConfig()
    public init() {}
}

/// The `deploy` section.
public struct DeployConfig: Codable, Sendable, Equatable {
    /// The deployment's name.
    public var `as`: String = ""
    public var replicas: Int = 1
    public init() {}
}
