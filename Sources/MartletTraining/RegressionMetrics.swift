/// Errors of numbers, in the target's own units.
public struct RegressionMetrics {
    private var count = 0.0
    private var squared = 0.0
    private var absolute = 0.0
    /// Welford's running mean and sum of squares of the targets, for R².
    private var mean = 0.0
    private var spread = 0.0

    public init() {}

    public mutating func add(predictions: [Double], targets: [Double]) {
        for (prediction, target) in zip(predictions, targets) {
            count += 1
            let error = prediction - target
            squared += error * error
            absolute += abs(error)
            let shift = target - mean
            mean += shift / count
            spread += shift * (target - mean)
        }
    }

    /// mse, rmse, mae, r2 (left out where all targets are equal).
    public var values: [String: Double] {
        guard count > 0 else { return [:] }
        var values = [
            "mse": squared / count, "rmse": (squared / count).squareRoot(), "mae": absolute / count,
        ]
        if spread > 0 { values["r2"] = 1 - squared / spread }
        return values
    }
}
