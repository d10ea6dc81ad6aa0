import MartletTensor

/// One pass through a model: whether it trains, and where its dropout's randomness comes from.
///
/// Each dropout gets a key of its own by the order of calls, from the seed and the step, so a resumed job sees the
/// same masks.
public final class Forward {
    public let training: Bool
    public let seed: UInt64
    /// The optimizer step, counted from 0.
    public let step: UInt64
    /// The part of the step's rows, where a step is done in several.
    public let part: UInt64
    private var calls: UInt64 = 0

    public init(training: Bool, seed: UInt64 = 0, step: UInt64 = 0, part: UInt64 = 0) {
        self.training = training
        self.seed = seed
        self.step = step
        self.part = part
    }

    /// A pass that only computes.
    public static func inference() -> Forward { Forward(training: false) }

    /// The key of the next dropout.
    public func nextKey() -> RandomKey {
        calls += 1
        return RandomKey(seed: seed, purpose: RandomPurpose.dropout, step: step, stream: part << 32 | calls)
    }

    /// `x` with elements dropped with probability `p` and the others scaled by 1/(1-p), where this pass trains.
    public func dropout(_ x: Tensor, _ p: Double) throws -> Tensor {
        guard training, p > 0 else { return x }
        let mask = try Tensor.dropoutMask(x.shape, p: p, key: nextKey(), type: x.scalarType, device: x.device)
        return try x.mul(mask)
    }
}
