import MartletTensor
import MartletWire

/// Changes parameters by their gradients, with the state that its formula needs.
///
///     try loss.backward()
///     try optimizer.clipGradNorm(1)
///     try optimizer.step(learningRate: rate)
///     optimizer.zeroGrad()
public final class Optimizer {
    private let rule: UpdateRule
    private let isFused: Bool
    private let names: [String]
    let parameters: [Parameter]
    /// For each of the rule's state names, one tensor a parameter.
    private let states: [[Tensor]]
    private let weights: [Tensor]
    /// How many updates each parameter has had; one without a gradient is left out, as in PyTorch.
    private var steps: [Double]
    /// The same number on the device, shared while all parameters have had as many.
    private let sharedStep: Tensor

    /// What has the same weight decay and so goes through one operator, with the place of each parameter's group.
    private let groups: [Group]
    private let rules: [UpdateRule]

    private struct Group {
        let rule: UpdateRule
        let members: [Int]
        let weights: Value
        let states: [Value]
        let steps: Value
    }

    /// - Parameters:
    ///   - parameters: those that can be trained are changed, in this order.
    ///   - fused: whether all are changed by a few operators; else each by its plain formula.
    /// - Throws: `MartletError` with `invalidRecipe` where a constant is outside its range.
    public init(_ config: OptimizerConfig, parameters: [NamedParameter], fused: Bool = true) throws {
        rule = try UpdateRule(config)
        isFused = fused
        let trainable = parameters.filter(\.parameter.isTrainable)
        names = trainable.map(\.name)
        self.parameters = trainable.map(\.parameter)
        weights = self.parameters.map(\.value)
        let weights = weights
        states = try rule.stateNames.map { _ in
            // In a weight's own layout, or every step would have to walk it in two orders.
            try weights.map { weight in try Op.zerosLike.tensor(.tensor(weight)) }
        }
        steps = [Double](repeating: 0, count: weights.count)
        sharedStep = try Tensor.zeros([], device: weights.first?.device ?? .cpu)
        var undecayed = rule
        undecayed.weightDecay = 0
        let decays = self.parameters.map { config.decay == .all || $0.role == .weight }
        rules = decays.map { [rule] in $0 ? rule : undecayed }
        groups = [(rule, true), (undecayed, false)].compactMap { [states, sharedStep] rule, decayed in
            let members = decays.indices.filter { decays[$0] == decayed }
            guard !members.isEmpty else { return nil }
            return Group(
                rule: rule, members: members, weights: .tensors(members.map { weights[$0] }),
                states: states.map { kind in .tensors(members.map { kind[$0] }) },
                steps: .tensors([Tensor](repeating: sharedStep, count: members.count)))
        }
    }

    /// Changes every parameter that has a gradient.
    public func step(learningRate: Double) throws {
        try Tensor.withoutGradients {
            let grads = gradients()
            if isFused, grads.count == weights.count, steps.allSatisfy({ $0 == steps[0] }) {
                if !weights.isEmpty { try stepAll(grads.map(\.gradient), learningRate) }
            } else {
                for (index, gradient) in grads { try stepOne(index, gradient, learningRate) }
            }
        }
    }

    /// Clears the gradients of all parameters.
    public func zeroGrad() { Tensor.clearGradients(of: weights) }

    private func stepAll(_ grads: [Tensor], _ learningRate: Double) throws {
        for index in steps.indices { steps[index] += 1 }
        try sharedStep.fill_(steps[0])
        for group in groups {
            try group.rule.fused(
                group.weights, .tensors(group.members.map { grads[$0] }), group.states, steps: group.steps,
                learningRate: learningRate)
        }
    }

    private func stepOne(_ index: Int, _ gradient: Tensor, _ learningRate: Double) throws {
        steps[index] += 1
        try rules[index].plain(
            weights[index], gradient, states.map { $0[index] }, step: steps[index], learningRate: learningRate)
    }

    func gradients() -> [(index: Int, gradient: Tensor)] {
        weights.enumerated().compactMap { index, weight in weight.grad.map { (index, $0) } }
    }

    /// What a checkpoint must hold to go on: `exp_avg.<parameter>` and the like, and `step.<parameter>`.
    public var state: [(String, Tensor)] {
        get throws {
            var found: [(String, Tensor)] = []
            for (kind, tensors) in zip(rule.stateNames, states) {
                found += zip(names, tensors).map { ("\(kind).\($0)", $1) }
            }
            for (name, step) in zip(names, steps) { found.append(("step.\(name)", try Tensor(scalar: step))) }
            return found
        }
    }

    /// Goes on from a checkpoint's state.
    /// - Throws: `MartletError` that names what is missing or of another shape; then nothing has changed.
    public func load(state: [(String, Tensor)]) throws {
        let given = Dictionary(state, uniquingKeysWith: { first, _ in first })
        for (name, wanted) in try self.state {
            guard let tensor = given[name] else {
                throw MartletError(.invalidData, "the optimizer's state lacks '\(name)'")
            }
            guard tensor.shape == wanted.shape, tensor.scalarType == wanted.scalarType else {
                throw MartletError(.invalidData, "the optimizer's state '\(name)' is \(tensor), not \(wanted)")
            }
        }
        for (kind, tensors) in zip(rule.stateNames, states) {
            for (name, tensor) in zip(names, tensors) {
                if let saved = given["\(kind).\(name)"] { try tensor.copy_(saved) }
            }
        }
        steps = try names.map { try given["step.\($0)"]?.item() ?? 0 }
    }
}

extension Op {
    static let zerosLike = Op("aten::zeros_like")
}
