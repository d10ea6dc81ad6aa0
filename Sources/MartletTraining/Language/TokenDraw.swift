import Foundation

/// Draws the next token of a text that a model in training writes.
enum TokenDraw {
    /// - Parameters:
    ///   - temperature: 0 takes the likeliest token.
    ///   - draw: evenly from 0 ..< 1.
    static func pick(_ logits: [Float], temperature: Double, _ draw: Double) -> Int {
        let best = logits.indices.max { logits[$0] < logits[$1] } ?? 0
        guard temperature > 0 else { return best }
        let weights = logits.map { exp(Double($0 - logits[best]) / temperature) }
        var left = draw * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            left -= weight
            if left < 0 { return index }
        }
        return best
    }
}
