extension Tensor {
    /// max(x, 0).
    public func relu() throws -> Tensor { try Op.relu.tensor(.tensor(self)) }

    /// 1/(1 + e⁻ˣ).
    public func sigmoid() throws -> Tensor { try Op.sigmoid.tensor(.tensor(self)) }

    public func tanh() throws -> Tensor { try Op.tanh.tensor(.tensor(self)) }

    /// x·sigmoid(x).
    public func silu() throws -> Tensor { try Op.silu.tensor(.tensor(self)) }

    /// x·Φ(x), or its tanh approximation (Hendrycks and Gimpel, 2016).
    public func gelu(approximate: Bool = false) throws -> Tensor {
        try Op.gelu.tensor(.tensor(self), .string(approximate ? "tanh" : "none"))
    }

    /// x, or slope·x below 0.
    public func leakyRelu(slope: Double = 0.01) throws -> Tensor {
        try Op.leakyRelu.tensor(.tensor(self), .double(slope))
    }

    /// x, or α(eˣ - 1) below 0.
    public func elu(alpha: Double = 1) throws -> Tensor { try Op.elu.tensor(.tensor(self), .double(alpha)) }

    /// log(1 + eˣ).
    public func softplus() throws -> Tensor { try Op.softplus.tensor(.tensor(self)) }

    /// Probabilities along one dimension.
    public func softmax(_ axis: Int = -1) throws -> Tensor { try Op.softmax.tensor(.tensor(self), .int(axis)) }

    /// Log-probabilities along one dimension.
    public func logSoftmax(_ axis: Int = -1) throws -> Tensor { try Op.logSoftmax.tensor(.tensor(self), .int(axis)) }
}
