import Foundation
import MartletTensor

/// Adds where each place is, as sines and cosines of its number: [B, T, E] → [B, T, E].
///
/// Dimension 2i has sin(t/10000^(2i/E)), dimension 2i+1 the cosine (Vaswani and others, 2017). No parameters.
public final class SinusoidalPosition: Layer {
    private let width: Int
    private var table: Tensor?

    public init(_ width: Int) { self.width = width }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        guard x.rank == 3, x.size(2) == width else {
            throw TensorError(.value, "positions of width \(width) cannot be added to the shape \(x.shape)")
        }
        return try x.add(rows(x.size(1), like: x))
    }

    /// The first rows of the table, made once for the longest input so far.
    private func rows(_ count: Int, like x: Tensor) throws -> Tensor {
        if let table, table.size(0) >= count, table.scalarType == x.scalarType, table.device == x.device {
            return try table.narrow(0, from: 0, length: count)
        }
        var values = [Double](repeating: 0, count: count * width)
        for t in 0..<count {
            for e in 0..<width {
                let angle = Double(t) * exp(-Double(e / 2 * 2) / Double(width) * log(10000))
                values[t * width + e] = e % 2 == 0 ? sin(angle) : cos(angle)
            }
        }
        let made = try Tensor(values, shape: [count, width]).to(x.scalarType).to(x.device)
        table = made
        return made
    }
}

/// Adds a learned vector for each place: [B, T, E] → [B, T, E] for T up to `limit`. `weight` is [limit, E].
public final class LearnedPosition: Layer {
    public let weight: Parameter
    private let limit: Int

    public init(_ limit: Int, _ width: Int, std: Double = 0.02) throws {
        weight = try Parameter([limit, width], .weight, .normal(std))
        self.limit = limit
    }

    public func callAsFunction(_ x: Tensor, _ forward: Forward) throws -> Tensor {
        guard x.rank == 3, x.size(1) <= limit else {
            throw TensorError(.value, "an input of shape \(x.shape) is longer than the \(limit) places learned")
        }
        return try x.add(weight.value.narrow(0, from: 0, length: x.size(1)))
    }
}
