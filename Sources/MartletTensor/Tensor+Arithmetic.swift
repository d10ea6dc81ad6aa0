extension Tensor {
    /// The sum; shapes are broadcast.
    public func add(_ other: Tensor) throws -> Tensor { try Op.add.tensor(.tensor(self), .tensor(other)) }

    public func add(_ number: Double) throws -> Tensor { try Op.addScalar.tensor(.tensor(self), .double(number)) }

    /// The difference; shapes are broadcast.
    public func sub(_ other: Tensor) throws -> Tensor { try Op.sub.tensor(.tensor(self), .tensor(other)) }

    public func sub(_ number: Double) throws -> Tensor { try Op.subScalar.tensor(.tensor(self), .double(number)) }

    /// The product, element by element; shapes are broadcast.
    public func mul(_ other: Tensor) throws -> Tensor { try Op.mul.tensor(.tensor(self), .tensor(other)) }

    public func mul(_ number: Double) throws -> Tensor { try Op.mulScalar.tensor(.tensor(self), .double(number)) }

    /// The quotient; shapes are broadcast.
    public func div(_ other: Tensor) throws -> Tensor { try Op.div.tensor(.tensor(self), .tensor(other)) }

    public func div(_ number: Double) throws -> Tensor { try Op.divScalar.tensor(.tensor(self), .double(number)) }

    /// The sum with a multiple of another tensor.
    public func add(_ other: Tensor, scale: Double) throws -> Tensor {
        try Op.add.tensor(.tensor(self), .tensor(other), .double(scale))
    }

    /// The remainder, with the divisor's sign.
    public func remainder(_ divisor: Double) throws -> Tensor {
        try Op.remainder.tensor(.tensor(self), .double(divisor))
    }

    /// The quotient rounded down.
    public func floorDivide(_ divisor: Double) throws -> Tensor {
        try Op.floorDivide.tensor(.tensor(self), .double(divisor))
    }

    /// Adds to the elements in place.
    public func add_(_ other: Tensor) throws { try Op.add_.run(.tensor(self), .tensor(other)) }

    /// Adds a multiple of another tensor to the elements in place.
    public func add_(_ other: Tensor, scale: Double) throws {
        try Op.add_.run(.tensor(self), .tensor(other), .double(scale))
    }

    /// Multiplies the elements in place.
    public func mul_(_ number: Double) throws { try Op.mulScalar_.run(.tensor(self), .double(number)) }

    public func mul_(_ other: Tensor) throws { try Op.mul_.run(.tensor(self), .tensor(other)) }

    /// Overwrites every element with one number.
    public func fill_(_ number: Double) throws { try Op.fill_.run(.tensor(self), .double(number)) }

    /// The matrix product, batched over leading dimensions.
    public func matmul(_ other: Tensor) throws -> Tensor { try Op.matmul.tensor(.tensor(self), .tensor(other)) }

    /// `x·Wᵀ + b`: [.., in] with a weight of [out, in].
    public func linear(_ weight: Tensor, _ bias: Tensor? = nil) throws -> Tensor {
        try Op.linear.tensor(.tensor(self), .tensor(weight), .optional(bias))
    }

    public func pow(_ exponent: Double) throws -> Tensor { try Op.pow.tensor(.tensor(self), .double(exponent)) }

    public func sqrt() throws -> Tensor { try Op.sqrt.tensor(.tensor(self)) }

    /// 1/√x.
    public func rsqrt() throws -> Tensor { try Op.rsqrt.tensor(.tensor(self)) }

    public func exp() throws -> Tensor { try Op.exp.tensor(.tensor(self)) }

    /// The natural logarithm.
    public func log() throws -> Tensor { try Op.log.tensor(.tensor(self)) }

    /// log(1 + x), exact near 0.
    public func log1p() throws -> Tensor { try Op.log1p.tensor(.tensor(self)) }

    public func abs() throws -> Tensor { try Op.abs.tensor(.tensor(self)) }

    public func neg() throws -> Tensor { try Op.neg.tensor(.tensor(self)) }

    public func sign() throws -> Tensor { try Op.sign.tensor(.tensor(self)) }

    public func sin() throws -> Tensor { try Op.sin.tensor(.tensor(self)) }

    public func cos() throws -> Tensor { try Op.cos.tensor(.tensor(self)) }

    /// To the nearest integer, halves to even.
    public func round() throws -> Tensor { try Op.round.tensor(.tensor(self)) }

    public func floor() throws -> Tensor { try Op.floor.tensor(.tensor(self)) }

    /// The elements held between two bounds.
    public func clamp(min: Double? = nil, max: Double? = nil) throws -> Tensor {
        try Op.clamp.tensor(.tensor(self), min.map(Value.double) ?? .none, max.map(Value.double) ?? .none)
    }

    /// The larger of each pair.
    public func maximum(_ other: Tensor) throws -> Tensor { try Op.maximum.tensor(.tensor(self), .tensor(other)) }

    /// The smaller of each pair.
    public func minimum(_ other: Tensor) throws -> Tensor { try Op.minimum.tensor(.tensor(self), .tensor(other)) }
}
