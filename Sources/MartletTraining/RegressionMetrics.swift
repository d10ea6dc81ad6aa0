/// Errors of numbers, in the target's own units.
///
/// Of a vector each place is measured by itself and the places are averaged, as scikit-learn does.
public struct RegressionMetrics {
    private struct Place {
        var count = 0.0
        var squared = 0.0
        var absolute = 0.0
        /// Welford's running mean and sum of squares of the targets, for R².
        var mean = 0.0
        var spread = 0.0

        mutating func add(_ prediction: Double, _ target: Double) {
            count += 1
            let error = prediction - target
            squared += error * error
            absolute += abs(error)
            let shift = target - mean
            mean += shift / count
            spread += shift * (target - mean)
        }
    }

    private var places: [Place]

    /// - Parameter width: numbers a row.
    public init(width: Int = 1) { places = Array(repeating: Place(), count: max(width, 1)) }

    /// Adds rows, one after another.
    public mutating func add(predictions: [Double], targets: [Double]) {
        for (index, (prediction, target)) in zip(predictions, targets).enumerated() {
            places[index % places.count].add(prediction, target)
        }
    }

    /// mse, rmse, mae, r2 (over the places whose targets are not all equal; left out where there is none).
    public var values: [String: Double] {
        guard places.allSatisfy({ $0.count > 0 }) else { return [:] }
        func mean(_ places: [Place], _ value: (Place) -> Double) -> Double {
            places.reduce(0) { $0 + value($1) } / Double(places.count)
        }
        var values = [
            "mse": mean(places) { $0.squared / $0.count },
            "rmse": mean(places) { ($0.squared / $0.count).squareRoot() },
            "mae": mean(places) { $0.absolute / $0.count },
        ]
        let varied = places.filter { $0.spread > 0 }
        if !varied.isEmpty { values["r2"] = mean(varied) { 1 - $0.squared / $0.spread } }
        return values
    }
}
