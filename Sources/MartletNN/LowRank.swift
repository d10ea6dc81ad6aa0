import MartletTensor
import MartletWire

/// A low-rank addition to a linear layer, `scale · dropout(x)·Aᵀ·Bᵀ` (Hu et al., 2021): x [.., in] → [.., out].
///
/// `lora_A` [rank, in] starts evenly within ±1/√in (Kaiming's with a = √5, as PEFT draws it), `lora_B` [out, rank] at zero,
/// so that a model starts as its base.
public final class LowRank: Layer {
    public let lora_A: Linear
    public let lora_B: Linear
    public let scale: Double
    private let dropout: Double

    /// - Parameter scale: PEFT's `lora_alpha / r`.
    public init(_ inputs: Int, _ outputs: Int, rank: Int, scale: Double, dropout: Double = 0) throws {
        lora_A = try Linear(inputs, rank, bias: false)
        lora_B = try Linear(rank, outputs, bias: false, std: 0)
        self.scale = scale
        self.dropout = dropout
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        try lora_B(lora_A(forward.dropout(x, dropout), forward), forward).mul(scale)
    }
}

/// The pass that a model is in, for weights that need to know it: a `LinearWeight` is given its input alone.
public final class CurrentPass {
    public var forward = Forward.inference()
    public init() {}
}

/// The layers of a group, each a frozen weight and perhaps a low-rank addition that is trained.
public final class LowRankWeight: LinearWeight {
    private let parts: [(base: any LinearWeight, addition: LowRank?)]
    private let pass: CurrentPass

    public init(_ parts: [(base: any LinearWeight, addition: LowRank?)], _ pass: CurrentPass) {
        self.parts = parts
        self.pass = pass
    }

    public func callAsFunction(_ x: Tensor) throws -> Tensor {
        let outputs = try parts.map { part in
            let y = try part.base(x)
            return try part.addition.map { try y.add($0(x, pass.forward)) } ?? y
        }
        return outputs.count == 1 ? outputs[0] : try Tensor.cat(outputs, axis: -1)
    }
}
