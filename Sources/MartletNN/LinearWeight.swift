import MartletTensor

/// A weight as the product reads it: dense, prepacked, in 16 or fewer bits, or another one with an adapter on it.
///
/// A format is a value that computes; a layer has no modes.
public protocol LinearWeight {
    /// x [.., in] → [.., out], the bias included where there is one.
    func callAsFunction(_ x: Tensor) throws -> Tensor
    /// The same, added to a residual [.., out].
    func callAsFunction(_ x: Tensor, adding residual: Tensor) throws -> Tensor
}

extension LinearWeight {
    public func callAsFunction(_ x: Tensor, adding residual: Tensor) throws -> Tensor { try residual.add(self(x)) }
}

/// Linear layers of one input that lie side by side, computed as one product where they are packed together.
///
/// It holds the layers and owns none: checkpoints name them by the modules that do.
public final class LinearGroup {
    public let layers: [Linear]
    /// The weights of all layers, one after another, in the format that serving chose; nil computes each layer as it is.
    public var packed: (any LinearWeight)?
    /// Whether it takes only the tokens that a router sends, as an expert does, and not every token of a pass.
    public var isRouted = false
    private let widths: [Int]

    public init(_ layers: Linear...) {
        self.layers = layers
        widths = layers.map { $0.weight.value.size(0) }
    }

    /// x [.., in] → the [.., out] of all layers side by side; nil where the layers are not packed together.
    public func joined(_ x: Tensor) throws -> Tensor? { try packed.map { try $0(x) } }

    /// x [.., in] → one [.., out] for each layer, in order.
    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> [Tensor] {
        guard let y = try joined(x) else { return try layers.map { try $0(x, forward) } }
        return layers.count == 1 ? [y] : try y.split(widths, axis: -1)
    }
}
