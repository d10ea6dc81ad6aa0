/// `checkpoint.every`: after so much time, so many steps or so many epochs.
public enum CheckpointInterval: Sendable, Equatable {
    case seconds(Double)
    case steps(Int)
    case epochs(Int)

    /// Reads `60s`, `5m`, `1h`, `100 steps`, `1 epoch`; nil for anything else.
    public init?(_ text: String) {
        let trimmed = text.replacing(" ", with: "")
        let digits = trimmed.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let number = Double(digits), number > 0, number < 1e12 else { return nil }
        let whole = Int(exactly: number)
        switch (trimmed.dropFirst(digits.count), whole) {
        case ("s", _): self = .seconds(number)
        case ("m", _): self = .seconds(number * 60)
        case ("h", _): self = .seconds(number * 3600)
        case ("step", let count?), ("steps", let count?): self = .steps(count)
        case ("epoch", let count?), ("epochs", let count?): self = .epochs(count)
        default: return nil
        }
    }
}

/// A bar that a metric must reach: `>= 0.90` or `<= 0.1`.
public struct Requirement: Sendable, Equatable {
    public var isMinimum: Bool
    public var bound: Double

    public init?(_ text: String) {
        let trimmed = text.replacing(" ", with: "")
        guard trimmed.hasPrefix(">=") || trimmed.hasPrefix("<="), let bound = Double(trimmed.dropFirst(2)) else {
            return nil
        }
        self.isMinimum = trimmed.hasPrefix(">=")
        self.bound = bound
    }

    public func isMet(by value: Double) -> Bool { isMinimum ? value >= bound : value <= bound }
}
