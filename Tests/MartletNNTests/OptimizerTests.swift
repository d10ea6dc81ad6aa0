import Foundation
import MartletNN
import MartletTensor
import MartletWire
import Testing

/// The problem of the golden file: the gradient is a·w - b + sin(step)·d.
private struct Problem {
    let parameters: [NamedParameter]
    private let a: [Tensor]
    private let b: [Tensor]
    private let d: [Tensor]

    init(_ golden: Golden, _ type: ScalarType) throws {
        let read = { (name: String) in
            try (0..<2).map { try golden.tensor("problem/\(name)/\($0)").to(type) }
        }
        (a, b, d) = (try read("a"), try read("b"), try read("d"))
        parameters = try read("start").enumerated().map { index, start in
            let parameter = try Parameter(start.shape, index == 0 ? .weight : .bias, .zeros)
            parameter.value = try start.clone().requiresGrad(true)
            return NamedParameter(name: "p\(index)", parameter: parameter)
        }
    }

    func setGradients(step: Int) throws {
        try Tensor.withoutGradients {
            for (index, item) in parameters.enumerated() {
                let pull = try a[index].mul(item.parameter.value).sub(b[index])
                try item.parameter.value.setGrad(pull.add(d[index], scale: sin(Double(step))))
            }
        }
    }

    func setGradients(_ gradients: [Tensor]) throws {
        for (item, gradient) in zip(parameters, gradients) { try item.parameter.value.setGrad(gradient.clone()) }
    }

    var values: [Tensor] { parameters.map(\.parameter.value) }
}

@Suite struct OptimizerTests {
    private static func config(
        _ type: OptimizerConfig.Kind, _ rate: Double, _ change: (inout OptimizerConfig) -> Void = { _ in }
    ) -> OptimizerConfig {
        var config = OptimizerConfig(type: type, learningRate: rate)
        change(&config)
        return config
    }

    static let cases: [(String, OptimizerConfig)] = [
        ("gd", config(.gd, 0.05)), ("sgd", config(.sgd, 0.05) { $0.weightDecay = 0.1 }),
        (
            "momentum",
            config(.momentum, 0.02) {
                $0.momentum = 0.9
                $0.weightDecay = 0.01
            }
        ),
        (
            "averaged",
            config(.momentum, 0.05) {
                $0.momentum = 0.8
                $0.form = .averaged
            }
        ),
        ("nesterov", config(.nesterov, 0.02)), ("adagrad", config(.adagrad, 0.1) { $0.weightDecay = 0.01 }),
        ("rmsprop", config(.rmsprop, 0.01) { $0.weightDecay = 0.01 }),
        (
            "rmsprop_momentum",
            config(.rmsprop, 0.005) {
                $0.alpha = 0.9
                $0.momentum = 0.8
                $0.epsilon = 1e-6
            }
        ),
        ("adam", config(.adam, 0.02)),
        (
            "adam_decay",
            config(.adam, 0.02) {
                $0.betas = [0.8, 0.95]
                $0.epsilon = 1e-5
                $0.weightDecay = 0.1
            }
        ),
        ("adamw", config(.adamw, 0.02)), ("adamw_decay", config(.adamw, 0.02) { $0.weightDecay = 0.2 }),
        (
            "adamw_groups",
            config(.adamw, 0.02) {
                $0.weightDecay = 0.2
                $0.decay = .weights
            }
        ),
    ]

    @Test(arguments: Precision.all, [true, false])
    func aHundredStepsAreThoseOfPyTorch(_ precision: Precision, _ fused: Bool) throws {
        let golden = try Golden("optimizers")
        for (name, config) in Self.cases {
            let problem = try Problem(golden, precision.type)
            let optimizer = try Optimizer(config, parameters: problem.parameters, fused: fused)
            for step in 0..<100 {
                try problem.setGradients(step: step)
                try optimizer.step(learningRate: config.learningRate)
                guard [1, 2, 10, 100].contains(step + 1) else { continue }
                for (index, value) in problem.values.enumerated() {
                    try golden.expect(value, "\(name)/\(step + 1)/\(index)", precision)
                }
            }
        }
        let others: Set = ["problem", "clip", "penalty", "schedule"]
        #expect(Set(Self.cases.map(\.0)) == golden.caseNames.subtracting(others))
    }

    @Test func aSavedStateGoesOnToTheSameBits() throws {
        let golden = try Golden("optimizers")
        for (_, config) in Self.cases {
            let whole = try Problem(golden, .float32)
            let first = try Optimizer(config, parameters: whole.parameters)
            let resumed = try Problem(golden, .float32)
            let second = try Optimizer(config, parameters: resumed.parameters)
            for step in 0..<7 {
                try whole.setGradients(step: step)
                try first.step(learningRate: 0.01)
            }
            for (mine, theirs) in zip(resumed.values, whole.values) {
                try Tensor.withoutGradients { try mine.copy_(theirs) }
            }
            try second.load(state: first.state.map { ($0, try $1.clone()) })
            for step in 7..<12 {
                for (problem, optimizer) in [(whole, first), (resumed, second)] {
                    try problem.setGradients(step: step)
                    try optimizer.step(learningRate: 0.01)
                }
            }
            for (mine, theirs) in zip(resumed.values, whole.values) { #expect(try mine.equals(theirs)) }
            var state = try first.state
            state.removeLast()
            #expect(throws: MartletError.self) { try second.load(state: state) }
        }
    }

    @Test func aParameterWithoutAGradientIsLeftAlone() throws {
        let golden = try Golden("optimizers")
        let problem = try Problem(golden, .float64)
        let optimizer = try Optimizer(OptimizerConfig(type: .adam), parameters: problem.parameters)
        try problem.setGradients(step: 0)
        try problem.parameters[1].parameter.value.setGrad(nil)
        let before = try problem.values.map { try $0.detach().clone() }
        try optimizer.step(learningRate: 0.1)
        #expect(try !problem.values[0].equals(before[0]))
        #expect(try problem.values[1].equals(before[1]))
        // Later it starts with its own first step, as in PyTorch: Adam's first step is the rate in length.
        try problem.setGradients(step: 1)
        try optimizer.step(learningRate: 0.1)
        let moved = try problem.values[1].detach().sub(before[1]).abs()
        try expectClose(moved, moved.onesLike().mul(0.1), rtol: 1e-5, atol: 1e-6, "first step")
        optimizer.zeroGrad()
        #expect(problem.values.allSatisfy { $0.grad == nil })
    }

    @Test(arguments: Precision.all)
    func clippingAndPenaltiesAreThoseOfPyTorch(_ precision: Precision) throws {
        let golden = try Golden("optimizers")
        for index in 0..<2 {
            let problem = try Problem(golden, precision.type)
            let optimizer = try Optimizer(OptimizerConfig(type: .sgd), parameters: problem.parameters)
            try problem.setGradients((0..<2).map { try golden.tensor("problem/b/\($0)").to(precision.type) })
            let norm = try optimizer.clipGradNorm(golden.tensor("clip/\(index)/max").item())
            try expectClose(
                Tensor(scalar: norm), golden.tensor("clip/\(index)/norm"), rtol: precision.rtol, atol: 0, "norm")
            for j in 0..<2 { try golden.expect(problem.values[j].grad, "clip/\(index)/grad/\(j)", precision) }
        }
        let problem = try Problem(golden, precision.type)
        let optimizer = try Optimizer(OptimizerConfig(type: .sgd), parameters: problem.parameters)
        try problem.setGradients(problem.values.map { try $0.detach().zerosLike() })
        var config = RegularizationConfig()
        config.l1 = 0.03
        config.l2 = 0.2
        try optimizer.applyRegularization(config)
        try golden.expect(problem.values[0].grad, "penalty/grad", precision)
        #expect(try problem.values[1].grad?.norm().item() == 0, "a bias has no penalty")
        let penalty = try Tensor(scalar: optimizer.regularizationPenalty(config))
        try golden.expect(penalty, "penalty/value", precision)
    }

    @Test func schedulesAreThoseOfPyTorch() throws {
        let golden = try Golden("optimizers")
        let schedule = { (type: ScheduleConfig.Kind, warmup: Int, change: (inout ScheduleConfig) -> Void) in
            var config = ScheduleConfig(type: type, warmupSteps: warmup)
            change(&config)
            return config
        }
        let cases: [(String, ScheduleConfig)] = [
            ("constant", schedule(.constant, 0) { _ in }), ("constant_warmup", schedule(.constant, 5) { _ in }),
            (
                "step",
                schedule(.step, 0) {
                    $0.every = 7
                    $0.gamma = 0.5
                }
            ), ("cosine", schedule(.cosine, 0) { $0.finalFactor = 0.1 }),
            ("cosine_warmup", schedule(.cosine, 6) { _ in }), ("linear", schedule(.linear, 0) { $0.finalFactor = 0.2 }),
            ("linear_warmup", schedule(.linear, 4) { _ in }),
        ]
        #expect(golden.group("schedule").count == cases.count)
        for (name, config) in cases {
            let expected = try golden.tensor("schedule/\(name)")
            let schedule = Schedule(config, totalSteps: expected.count)
            let factors = (0..<expected.count).map { schedule.factor($0) }
            try expectClose(Tensor(factors), expected, rtol: 1e-9, atol: 1e-12, name)
            #expect(schedule.factor(expected.count + 1000).isFinite)
        }
    }

    @Test func constantsOutsideTheirRangeAreRefusedByName() throws {
        let bad: [(String, (inout OptimizerConfig) -> Void)] = [
            ("momentum", { $0.momentum = 1 }), ("betas", { $0.betas = [0.9] }), ("betas", { $0.betas = [0.9, 1] }),
            ("alpha", { $0.alpha = -0.1 }), ("epsilon", { $0.epsilon = -1 }), ("epsilon", { $0.weightDecay = .nan }),
        ]
        for (param, change) in bad {
            let error = #expect(throws: MartletError.self) {
                try Optimizer(Self.config(.adam, 0.1, change), parameters: [])
            }
            #expect(error?.code == .invalidRecipe && error?.param == param)
        }
        #expect(throws: MartletError.self) {
            try Optimizer(Self.config(.nesterov, 0.1) { $0.form = .averaged }, parameters: [])
        }
    }
}
