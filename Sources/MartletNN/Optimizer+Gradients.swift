import MartletTensor
import MartletWire

extension Optimizer {
    /// Adds the gradients of l1·Σ|w| + l2/2·Σw² over weights, not biases or norms: l1·sign(w) + l2·w.
    public func applyRegularization(_ config: RegularizationConfig) throws {
        guard config.l1 != 0 || config.l2 != 0 else { return }
        let pairs = gradients().filter { parameters[$0.index].role == .weight }
        guard !pairs.isEmpty else { return }
        let grads = Value.tensors(pairs.map(\.gradient))
        let weights = Value.tensors(pairs.map { parameters[$0.index].value })
        try Tensor.withoutGradients {
            if config.l1 != 0 {
                try Op.foreachAdd_.run(grads, .tensors(Op.foreachSign.tensors(weights)), .double(config.l1))
            }
            if config.l2 != 0 { try Op.foreachAdd_.run(grads, weights, .double(config.l2)) }
        }
    }

    /// The penalty that `applyRegularization` has the gradient of, to be reported with the loss.
    public func regularizationPenalty(_ config: RegularizationConfig) throws -> Double {
        try Tensor.withoutGradients {
            var penalty = 0.0
            for parameter in parameters where parameter.role == .weight {
                if config.l1 != 0 { penalty += try config.l1 * parameter.value.norm(1).item() }
                if config.l2 != 0 {
                    let norm = try parameter.value.norm().item()
                    penalty += config.l2 / 2 * norm * norm
                }
            }
            return penalty
        }
    }

    /// Scales all gradients so that their global L2 norm is at most `max`.
    /// - Returns: the norm before.
    @discardableResult
    public func clipGradNorm(_ max: Double) throws -> Double {
        let grads = gradients().map(\.gradient)
        guard !grads.isEmpty else { return 0 }
        return try Tensor.withoutGradients {
            let norms = try Op.foreachNorm.tensors(.tensors(grads), 2)
            let norm = try Tensor.stack(norms).norm().item()
            // PyTorch's 1e-6 keeps a norm of zero from dividing; a norm that is not finite is left to the caller.
            let factor = max / (norm + 1e-6)
            if factor < 1 { try Op.foreachMul_.run(.tensors(grads), .double(factor)) }
            return norm
        }
    }
}
