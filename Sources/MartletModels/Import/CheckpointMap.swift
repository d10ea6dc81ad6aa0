import MartletTensor

/// How the tensors of a checkpoint in Hugging Face's form differ from a model's parameters.
public struct CheckpointMap: Sendable {
    /// A name of a tensor in a file → the parameter's name.
    var parameterName: @Sendable (String) -> String
    /// Names of parameters that the files hold with rows and columns exchanged.
    public var isTransposed: @Sendable (String) -> Bool
    /// Names in files that are computed, not learned.
    var isIgnored: @Sendable (String) -> Bool

    init(
        parameterName: @escaping @Sendable (String) -> String = { $0 },
        isTransposed: @escaping @Sendable (String) -> Bool = { _ in false },
        isIgnored: @escaping @Sendable (String) -> Bool = { $0.hasSuffix("rotary_emb.inv_freq") }
    ) {
        self.parameterName = parameterName
        self.isTransposed = isTransposed
        self.isIgnored = isIgnored
    }
}
