extension Preprocessing {
    /// The labels of a category or sequence output, in the order of its scores. Empty for others.
    public func labels(of output: String) -> [String] { targets.first { $0.name == output }?.categories ?? [] }

    /// A number or vector output's scaled values, row by row, in the data's own units.
    public func original(_ output: String, _ values: [Float]) -> [Double] {
        guard let target = targets.first(where: { $0.name == output }) else { return values.map(Double.init) }
        let width = max(target.length, 1)
        return values.enumerated().map { target.restored($1, $0 % width) }
    }
}
