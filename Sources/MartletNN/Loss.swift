import MartletTensor

extension Op {
    static let mseLoss = Op("aten::mse_loss")
    static let l1Loss = Op("aten::l1_loss")
    static let huberLoss = Op("aten::huber_loss")
    static let crossEntropyLoss = Op("aten::cross_entropy_loss")
    static let binaryCrossEntropyWithLogits = Op("aten::binary_cross_entropy_with_logits")
}

/// Losses, each a single number unless not reduced. Formulas and defaults are PyTorch's.
public enum Loss {
    /// How the elements' losses become one number. The raw values are libtorch's.
    public enum Reduction: Int, Sendable { case none = 0, mean, sum }

    /// (prediction - target)².
    public static func mse(_ prediction: Tensor, _ target: Tensor, _ reduction: Reduction = .mean) throws -> Tensor {
        try sameShape(prediction, target)
        return try Op.mseLoss.tensor(.tensor(prediction), .tensor(target), .int(reduction.rawValue))
    }

    /// |prediction - target|.
    public static func mae(_ prediction: Tensor, _ target: Tensor, _ reduction: Reduction = .mean) throws -> Tensor {
        try sameShape(prediction, target)
        return try Op.l1Loss.tensor(.tensor(prediction), .tensor(target), .int(reduction.rawValue))
    }

    /// d²/2 where d = |prediction - target| ≤ δ, else δ·(d - δ/2).
    public static func huber(
        _ prediction: Tensor, _ target: Tensor, delta: Double = 1, _ reduction: Reduction = .mean
    ) throws -> Tensor {
        try sameShape(prediction, target)
        return try Op.huberLoss.tensor(
            .tensor(prediction), .tensor(target), .int(reduction.rawValue), .double(delta))
    }

    /// -log softmax(logits)[target]: logits [N, C] (or [N, C, ..]) with targets [N] of int64 (or [N, ..]).
    /// - Parameters:
    ///   - classWeights: [C], what a row of each class counts; the mean is weighted too.
    ///   - labelSmoothing: the part of the target spread evenly over all classes.
    ///   - ignoring: a target whose rows do not count.
    public static func crossEntropy(
        _ logits: Tensor, _ target: Tensor, classWeights: Tensor? = nil, labelSmoothing: Double = 0,
        ignoring: Int = -100, _ reduction: Reduction = .mean
    ) throws -> Tensor {
        try Op.crossEntropyLoss.tensor(
            .tensor(logits), .tensor(target), .optional(classWeights), .int(reduction.rawValue), .int(ignoring),
            .double(labelSmoothing))
    }

    /// -[w·t·log σ(x) + (1-t)·log(1-σ(x))], of logits, in the form that does not overflow.
    /// - Parameter positiveWeight: what a positive target counts.
    public static func binaryCrossEntropy(
        _ logits: Tensor, _ target: Tensor, positiveWeight: Tensor? = nil, _ reduction: Reduction = .mean
    ) throws -> Tensor {
        try sameShape(logits, target)
        return try Op.binaryCrossEntropyWithLogits.tensor(
            .tensor(logits), .tensor(target), nil, .optional(positiveWeight), .int(reduction.rawValue))
    }

    /// libtorch would broadcast [N, 1] against [N] to [N, N] and train on nonsense.
    private static func sameShape(_ prediction: Tensor, _ target: Tensor) throws {
        guard prediction.rank == target.rank, (0..<target.rank).allSatisfy({ prediction.size($0) == target.size($0) })
        else {
            throw TensorError(
                .value, "the prediction has the shape \(prediction.shape), but the target has \(target.shape)")
        }
    }
}
