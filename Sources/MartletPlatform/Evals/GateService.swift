import MartletStore
import MartletWire

/// Deployments with a gate: a model takes over only after an eval's run on it has passed.
public final class GateService: Sendable {
    private let deployments: DeploymentService
    private let evals: EvalService
    private let store: Store

    /// A key of an eval's metadata: the part of items that must pass, 0 to 1. Without it all must.
    public static let threshold = "pass_rate"

    init(deployments: DeploymentService, evals: EvalService, store: Store) {
        self.deployments = deployments
        self.evals = evals
        self.store = store
    }

    /// Deploys, after the gate where the request names one.
    ///
    /// The gate's run asks the new model what the eval's newest sampling run asked. Where it does not pass, the
    /// deployment stays as it is with the reason in its `error`, and `requirementNotMet` is thrown.
    public func deploy(
        _ request: DeploymentRequest, wait: Bool, by principal: Principal
    ) async throws -> DeploymentInfo {
        guard let gate = request.gate else { return try await deployments.deploy(request, wait: wait, by: principal) }
        do {
            try await pass(gate, model: request.model, by: principal)
        } catch let error as MartletError {
            await deployments.note(error, onDeployment: request.name, ofModel: request.model, by: principal)
            throw error
        }
        return try await deployments.deploy(request, wait: wait, by: principal)
    }

    private func pass(_ gate: String, model: String, by principal: Principal) async throws {
        let eval = try await evals.show(gate, param: "gate", by: principal)
        let needed = try Self.threshold(of: eval)
        let runs = try await store.evalRuns(ofEval: eval.id, state: nil, after: nil, limit: 100, isNewestFirst: true)
        guard let source = runs.first(where: { !$0.info.model.isEmpty })?.info.dataSource.value,
            case .object(var dataSource) = source
        else {
            throw MartletError(
                .invalidRequest,
                "the eval '\(eval.info.name)' has no run that asks a model; run it once, so that the gate knows its data",
                param: "gate")
        }
        let reference = try await deployments.describe(model, by: principal).model.reference
        dataSource["model"] = .string(reference)
        let made = try await evals.createRun(
            eval.id, name: "gate: \(reference)", dataSource: .object(dataSource), metadata: nil, by: principal)
        await evals.untilOver(made.run.id)
        let done = try await evals.showRun(made.run.id, of: eval.id, by: principal)
        guard done.run.state == .completed else {
            throw MartletError(
                .requirementNotMet,
                "the gate's run \(done.run.id) is \(done.run.state.rawValue): \(done.run.info.error?.message ?? "no result")"
            )
        }
        let total = done.counts.values.reduce(0, +), passed = done.counts[.pass, default: 0]
        guard total > 0, Double(passed) >= needed * Double(total) - 1e-9 else {
            throw MartletError(
                .requirementNotMet,
                "\(reference) passed \(passed) of \(total) items of the eval '\(eval.info.name)' and needs "
                    + "\(needed * 100) %; see run \(done.run.id)", param: "gate")
        }
    }

    private static func threshold(of eval: StoredEval) throws -> Double {
        guard let text = eval.info.metadata?[threshold]?.string else { return 1 }
        guard let value = Double(text), (0...1).contains(value) else {
            throw MartletError(
                .invalidRequest,
                "the eval's metadata has '\(text.prefix(40))' as \(threshold); give a number from 0 to 1", param: "gate"
            )
        }
        return value
    }
}
