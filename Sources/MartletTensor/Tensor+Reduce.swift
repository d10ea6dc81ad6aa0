extension Tensor {
    /// The sum of all elements.
    public func sum() throws -> Tensor { try Op.sum.tensor(.tensor(self)) }

    /// The sum along some dimensions.
    public func sum(_ axes: [Int], keep: Bool = false) throws -> Tensor {
        try Op.sumAxes.tensor(.tensor(self), .ints(axes), .bool(keep))
    }

    /// The mean of all elements.
    public func mean() throws -> Tensor { try Op.mean.tensor(.tensor(self)) }

    /// The mean along some dimensions.
    public func mean(_ axes: [Int], keep: Bool = false) throws -> Tensor {
        try Op.meanAxes.tensor(.tensor(self), .ints(axes), .bool(keep))
    }

    /// The variance along some dimensions: Σ(x - mean)² / (n - correction).
    public func variance(_ axes: [Int], correction: Int = 1, keep: Bool = false) throws -> Tensor {
        try Op.variance.tensor(.tensor(self), .ints(axes), .int(correction), .bool(keep))
    }

    /// Where the largest element is along a dimension, or among all.
    public func argmax(_ axis: Int? = -1, keep: Bool = false) throws -> Tensor {
        try Op.argmax.tensor(.tensor(self), axis.map(Value.int) ?? .none, .bool(keep))
    }

    /// The largest element of all.
    public func max() throws -> Tensor { try Op.max.tensor(.tensor(self)) }

    /// The smallest element of all.
    public func min() throws -> Tensor { try Op.min.tensor(.tensor(self)) }

    /// The largest elements along some dimensions.
    public func max(_ axes: [Int], keep: Bool = false) throws -> Tensor {
        try Op.amax.tensor(.tensor(self), .ints(axes), .bool(keep))
    }

    /// The smallest elements along some dimensions.
    public func min(_ axes: [Int], keep: Bool = false) throws -> Tensor {
        try Op.amin.tensor(.tensor(self), .ints(axes), .bool(keep))
    }

    /// The sums of the first elements of a dimension.
    public func cumsum(_ axis: Int) throws -> Tensor { try Op.cumsum.tensor(.tensor(self), .int(axis)) }

    /// (Σ|x|ᵖ)^(1/p) over all elements or some dimensions.
    public func norm(_ order: Double = 2, axes: [Int]? = nil, keep: Bool = false) throws -> Tensor {
        try Op.norm.tensor(.tensor(self), .double(order), axes.map(Value.ints) ?? .none, .bool(keep))
    }

    /// log Σ eˣ along some dimensions.
    public func logsumexp(_ axes: [Int], keep: Bool = false) throws -> Tensor {
        try Op.logsumexp.tensor(.tensor(self), .ints(axes), .bool(keep))
    }

    /// Whether every element is true.
    public func all() throws -> Tensor { try Op.all.tensor(.tensor(self)) }

    /// Whether some element is true.
    public func any() throws -> Tensor { try Op.any.tensor(.tensor(self)) }

    /// Which elements are neither infinite nor NaN.
    public func isfinite() throws -> Tensor { try Op.isfinite.tensor(.tensor(self)) }

    /// Which elements are equal.
    public func eq(_ other: Tensor) throws -> Tensor { try Op.eq.tensor(.tensor(self), .tensor(other)) }

    public func eq(_ number: Double) throws -> Tensor { try Op.eqScalar.tensor(.tensor(self), .double(number)) }

    /// Which elements are different.
    public func ne(_ other: Tensor) throws -> Tensor { try Op.ne.tensor(.tensor(self), .tensor(other)) }

    public func ne(_ number: Double) throws -> Tensor { try Op.neScalar.tensor(.tensor(self), .double(number)) }

    /// Which elements are greater.
    public func gt(_ other: Tensor) throws -> Tensor { try Op.gt.tensor(.tensor(self), .tensor(other)) }

    public func gt(_ number: Double) throws -> Tensor { try Op.gtScalar.tensor(.tensor(self), .double(number)) }

    /// Which elements are greater or equal.
    public func ge(_ other: Tensor) throws -> Tensor { try Op.ge.tensor(.tensor(self), .tensor(other)) }

    public func ge(_ number: Double) throws -> Tensor { try Op.geScalar.tensor(.tensor(self), .double(number)) }

    /// Which elements are less.
    public func lt(_ other: Tensor) throws -> Tensor { try Op.lt.tensor(.tensor(self), .tensor(other)) }

    public func lt(_ number: Double) throws -> Tensor { try Op.ltScalar.tensor(.tensor(self), .double(number)) }

    /// Which elements are less or equal.
    public func le(_ other: Tensor) throws -> Tensor { try Op.le.tensor(.tensor(self), .tensor(other)) }

    public func le(_ number: Double) throws -> Tensor { try Op.leScalar.tensor(.tensor(self), .double(number)) }

    public func logicalNot() throws -> Tensor { try Op.logicalNot.tensor(.tensor(self)) }

    public func logicalAnd(_ other: Tensor) throws -> Tensor {
        try Op.logicalAnd.tensor(.tensor(self), .tensor(other))
    }

    public func logicalOr(_ other: Tensor) throws -> Tensor { try Op.logicalOr.tensor(.tensor(self), .tensor(other)) }

    /// Whether shapes and all elements are the same.
    public func equals(_ other: Tensor) throws -> Bool {
        guard case .bool(let same)? = try Op.equal.call(.tensor(self), .tensor(other)).first else { return false }
        return same
    }
}
