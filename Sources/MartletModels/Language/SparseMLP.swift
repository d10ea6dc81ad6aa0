import MartletNN
import MartletTensor
import MartletWire

extension Op {
    static let indexAdd = Op("aten::index_add")
}

// N tokens, D width, E experts, K experts of a token

/// A mixture of experts: each token goes through the K experts that a gate gives the highest probability.
///
/// A token's result does not hang on the tokens beside it: there is no capacity that others could use up.
final class SparseMLP: FeedForward {
    let gate: Linear
    let experts: [GatedMLP]
    let shared_expert: GatedMLP?
    let shared_expert_gate: Linear?
    private let chosenCount: Int
    private let normalizes: Bool
    private let route: LinearGroup
    /// Of all layers.
    private static let expertLimit = 1 << 16

    /// - Parameters:
    ///   - normalizes: the chosen probabilities are scaled to a sum of 1.
    ///   - shared: an expert that every token goes through, weighted by a gate of its own.
    init(
        _ config: DecoderConfig, expertCount: Int, chosenCount: Int, inner: Int, normalizes: Bool, shared: Int? = nil,
        renames: [String: String] = [:]
    ) throws {
        guard expertCount <= 4096, chosenCount <= expertCount else {
            throw MartletError(
                .invalidData, "config.json has each token use \(chosenCount) of \(expertCount) experts")
        }
        // Each takes memory before its weights are looked for.
        guard expertCount * config.layerCount <= Self.expertLimit else {
            throw MartletError(
                .invalidData,
                "config.json has \(expertCount) experts in \(config.layerCount) layers; at most \(Self.expertLimit) in "
                    + "all are supported")
        }
        let (width, std) = (config.width, config.initializerRange)
        gate = try Linear(width, expertCount, bias: false, std: std)
        experts = try (0..<expertCount).map { _ in
            try GatedMLP(width, inner, config.activation, std: std, renames: renames)
        }
        shared_expert = try shared.map { try GatedMLP(width, $0, config.activation, std: std) }
        shared_expert_gate = try shared.map { _ in try Linear(width, 1, bias: false, std: std) }
        self.chosenCount = chosenCount
        self.normalizes = normalizes
        route = LinearGroup(gate)
        for group in experts.flatMap(\.linearGroups) { group.isRouted = true }
    }

    /// The gates stay as they are: which expert is chosen must not hang on a weight format.
    var linearGroups: [LinearGroup] {
        experts.flatMap(\.linearGroups) + (shared_expert?.linearGroups ?? [])
    }

    func callAsFunction(_ x: Tensor, adding residual: Tensor?, _ forward: Forward) throws -> Tensor {
        let chosen = try route(x, forward)[0].softmax().topk(chosenCount)
        var weights_NK = chosen.values
        if normalizes { weights_NK = try weights_NK.div(weights_NK.sum([-1], keep: true)) }
        var rows = [[Int]](repeating: [], count: experts.count)
        var places = rows
        for (place, expert) in try chosen.indices.array(of: Int.self).enumerated() {
            rows[expert].append(place / chosenCount)
            places[expert].append(place)
        }
        let weights = try weights_NK.reshape([-1, 1])
        var sum = try x.zerosLike()
        for (expert, module) in experts.enumerated() where !rows[expert].isEmpty {
            let index = try Tensor(rows[expert], shape: [rows[expert].count], device: x.device)
            let place = try Tensor(places[expert], shape: [places[expert].count], device: x.device)
            let y = try module(x.indexSelect(0, index), adding: nil, forward).mul(weights.indexSelect(0, place))
            sum = try Op.indexAdd.tensor(.tensor(sum), 0, .tensor(index), .tensor(y))
        }
        if let shared_expert, let shared_expert_gate {
            let share = try shared_expert_gate(x, forward).sigmoid()
            sum = try sum.add(shared_expert(x, adding: nil, forward).mul(share))
        }
        return try residual.map { try $0.add(sum) } ?? sum
    }
}
