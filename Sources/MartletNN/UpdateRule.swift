import Foundation
import MartletTensor
import MartletWire

extension Op {
    static let fusedSGD_ = Op("aten::_fused_sgd_")
    static let fusedAdam_ = Op("aten::_fused_adam_")
    static let fusedAdamW_ = Op("aten::_fused_adamw_")
    static let fusedAdagrad_ = Op("aten::_fused_adagrad_")
    static let foreachMul_ = Op("aten::_foreach_mul_.Scalar")
    static let foreachAdd_ = Op("aten::_foreach_add_.List")
    static let foreachAddScalar_ = Op("aten::_foreach_add_.Scalar")
    static let foreachAddcmul_ = Op("aten::_foreach_addcmul_.Scalar")
    static let foreachAddcdiv_ = Op("aten::_foreach_addcdiv_.Scalar")
    static let foreachSqrt = Op("aten::_foreach_sqrt")
    static let foreachSign = Op("aten::_foreach_sign")
    static let foreachNorm = Op("aten::_foreach_norm.Scalar")
}

/// An optimizer's formula with its constants: from gradients, parameters and state to new ones, in place.
///
/// Formulas are PyTorch's, with weight decay λ as `g += λw` for all but adamw. `plain` states each for one parameter;
/// `fused` does the same for all in a few operators.
struct UpdateRule {
    let kind: OptimizerConfig.Kind
    let momentum: Double
    /// 0 for the classical form, β for the averaged one.
    let dampening: Double
    let beta1: Double
    let beta2: Double
    let alpha: Double
    let epsilon: Double
    var weightDecay: Double

    /// - Throws: `MartletError` where a constant is outside its range.
    init(_ config: OptimizerConfig) throws {
        let usesMomentum = config.type == .momentum || config.type == .nesterov
        kind = config.type
        momentum = config.momentum ?? (usesMomentum ? 0.9 : 0)
        dampening = config.form == .averaged ? momentum : 0
        epsilon = config.epsilon ?? (config.type == .adagrad ? 1e-10 : 1e-8)
        weightDecay = config.weightDecay ?? (config.type == .adamw ? 0.01 : 0)
        alpha = config.alpha
        guard config.betas.count == 2 else {
            throw MartletError(.invalidRecipe, "betas needs two numbers, not \(config.betas.count)", param: "betas")
        }
        (beta1, beta2) = (config.betas[0], config.betas[1])
        for (name, value) in [("momentum", momentum), ("alpha", alpha), ("betas", beta1), ("betas", beta2)] {
            guard value >= 0, value < 1 else {
                throw MartletError(
                    .invalidRecipe, "\(name) is \(value); it must be at least 0 and less than 1", param: name)
            }
        }
        guard epsilon >= 0, epsilon.isFinite, weightDecay >= 0, weightDecay.isFinite else {
            throw MartletError(.invalidRecipe, "epsilon and weight_decay must be 0 or more", param: "epsilon")
        }
        if kind == .nesterov, config.form == .averaged {
            throw MartletError(
                .invalidRecipe, "nesterov has no averaged form; use form: classical or type: momentum", param: "form")
        }
    }

    /// The names of the state tensors that each parameter has, as PyTorch calls them.
    var stateNames: [String] {
        switch kind {
        case .gd, .sgd, .momentum, .nesterov: momentum == 0 ? [] : ["momentum_buffer"]
        case .adagrad: ["sum"]
        case .rmsprop: momentum == 0 ? ["square_avg"] : ["square_avg", "momentum_buffer"]
        case .adam, .adamw: ["exp_avg", "exp_avg_sq"]
        }
    }

    /// Changes one parameter `w` by its gradient `g` and its state, in step `step` (from 1).
    func plain(_ w: Tensor, _ g: Tensor, _ state: [Tensor], step: Double, learningRate: Double) throws {
        var g = g
        if weightDecay != 0 {
            if kind == .adamw {
                try w.mul_(1 - learningRate * weightDecay)
            } else {
                g = try g.add(w, scale: weightDecay)
            }
        }
        switch kind {
        case .gd, .sgd, .momentum, .nesterov:
            // v = βv + (1 - dampening)g;  w -= η·v, or η·(g + βv) for Nesterov.
            if momentum != 0 {
                try state[0].mul_(momentum)
                try state[0].add_(g, scale: 1 - dampening)
                g = kind == .nesterov ? try g.add(state[0], scale: momentum) : state[0]
            }
            try w.add_(g, scale: -learningRate)
        case .adagrad:
            // s += g²;  w -= η·g/(√s + ε).
            try state[0].add_(g.mul(g))
            try w.add_(g.div(state[0].sqrt().add(epsilon)), scale: -learningRate)
        case .rmsprop:
            // s = αs + (1-α)g²;  u = g/(√s + ε);  v = βv + u;  w -= η·(v or u).
            try state[0].mul_(alpha)
            try state[0].add_(g.mul(g), scale: 1 - alpha)
            var change = try g.div(state[0].sqrt().add(epsilon))
            if momentum != 0 {
                try state[1].mul_(momentum)
                try state[1].add_(change)
                change = state[1]
            }
            try w.add_(change, scale: -learningRate)
        case .adam, .adamw:
            // m = β₁m + (1-β₁)g;  s = β₂s + (1-β₂)g²;  w -= η·m̂/(√ŝ + ε) with m̂ = m/(1-β₁ᵗ), ŝ = s/(1-β₂ᵗ).
            try state[0].mul_(beta1)
            try state[0].add_(g, scale: 1 - beta1)
            try state[1].mul_(beta2)
            try state[1].add_(g.mul(g), scale: 1 - beta2)
            let root = try state[1].sqrt().div(pow(1 - pow(beta2, step), 0.5)).add(epsilon)
            try w.add_(state[0].div(root), scale: -learningRate / (1 - pow(beta1, step)))
        }
    }

    /// Changes all parameters at once. `state` has one list of tensors for each of `stateNames`, `steps` a number
    /// for each parameter on its device.
    func fused(_ w: Value, _ g: Value, _ state: [Value], steps: Value, learningRate: Double) throws {
        let rate = Value.double(learningRate)
        let decay = Value.double(weightDecay)
        switch kind {
        case .gd, .sgd, .momentum, .nesterov:
            try Op.fusedSGD_.run(
                w, g, state.first ?? .tensors([]), decay, .double(momentum), rate, .double(dampening),
                .bool(kind == .nesterov && momentum != 0), false, false)
        case .adagrad:
            try Op.fusedAdagrad_.run(w, g, state[0], steps, rate, 0.0, decay, .double(epsilon), false)
        case .adam, .adamw:
            let op = kind == .adam ? Op.fusedAdam_ : Op.fusedAdamW_
            try op.run(
                w, g, state[0], state[1], .tensors([]), steps, rate, .double(beta1), .double(beta2), decay,
                .double(epsilon), false, false)
        case .rmsprop:
            if weightDecay != 0 { try Op.foreachAdd_.run(g, w, decay) }
            try Op.foreachMul_.run(state[0], .double(alpha))
            try Op.foreachAddcmul_.run(state[0], g, g, .double(1 - alpha))
            let root = Value.tensors(try Op.foreachSqrt.tensors(state[0]))
            try Op.foreachAddScalar_.run(root, .double(epsilon))
            if momentum == 0 {
                try Op.foreachAddcdiv_.run(w, g, root, .double(-learningRate))
            } else {
                try Op.foreachMul_.run(state[1], .double(momentum))
                try Op.foreachAddcdiv_.run(state[1], g, root, 1.0)
                try Op.foreachAdd_.run(w, state[1], .double(-learningRate))
            }
        }
    }
}
