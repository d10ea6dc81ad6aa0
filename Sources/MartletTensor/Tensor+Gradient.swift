import CTorch

extension Tensor {
    /// Whether operations on this tensor are recorded for `backward`.
    public var requiresGrad: Bool { ct_tensor_requires_grad(handle) }

    /// Starts or stops recording; only a tensor of floating-point numbers that no operation made can change.
    @discardableResult
    public func requiresGrad(_ value: Bool) throws -> Tensor {
        try check(ct_tensor_set_requires_grad(handle, value))
        return self
    }

    /// The gradient that `backward` has added up here, nil where there is none.
    public var grad: Tensor? { ct_tensor_grad(handle).map(Tensor.init(taking:)) }

    /// Replaces the gradient; nil clears it.
    public func setGrad(_ grad: Tensor?) throws {
        try check(ct_tensor_set_grad(handle, grad?.handle))
    }

    /// Adds to the `grad` of every recorded tensor that this one was made of.
    /// - Parameter gradient: the gradient of this tensor itself; 1 where it is a single number.
    public func backward(_ gradient: Tensor? = nil, retainGraph: Bool = false) throws {
        try check(ct_backward(handle, gradient?.handle, retainGraph), "backward")
    }

    /// The gradients of this tensor with respect to others, which keep their own `grad` as it is; nil where unused.
    public func gradients(
        of inputs: [Tensor], gradient: Tensor? = nil, retainGraph: Bool = false, createGraph: Bool = false
    ) throws -> [Tensor?] {
        var found = [ct_tensor?](repeating: nil, count: inputs.count)
        let handles = inputs.map { Optional($0.handle) }
        let error = withExtendedLifetime(inputs) {
            ct_gradients(
                handle, gradient?.handle, handles, Int32(inputs.count), retainGraph, createGraph, &found)
        }
        try check(error, "gradients")
        return found.map { $0.map(Tensor.init(taking:)) }
    }

    /// The same elements outside the recording.
    public func detach() throws -> Tensor { try Op.detach.tensor(.tensor(self)) }

    /// Clears the gradients of many tensors.
    public static func clearGradients(of tensors: [Tensor]) {
        withUnsafeTemporaryAllocation(of: Optional<ct_tensor>.self, capacity: tensors.count) { handles in
            for (index, tensor) in tensors.enumerated() { handles.initializeElement(at: index, to: tensor.handle) }
            withExtendedLifetime(tensors) {
                ct_tensor_clear_grads(handles.baseAddress, Int32(tensors.count))
            }
        }
    }

    /// Runs `body` without recording operations for gradients. Must not be held across an `await`.
    public static func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = ct_grad_mode()
        ct_set_grad_mode(false)
        defer { ct_set_grad_mode(before) }
        return try body()
    }

    /// Runs `body` in libtorch's inference mode: faster still, and its tensors can never be trained.
    public static func inference<Result>(_ body: () throws -> Result) rethrows -> Result {
        let guardian = ct_inference_begin()
        defer { ct_inference_end(guardian) }
        return try body()
    }
}
