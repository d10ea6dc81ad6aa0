import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// A network of features that learns its recipe's outputs from encoded rows.
public final class FeatureObjective: TrainingObjective {
    /// Rows that are held out, and what reads their metrics.
    public struct Validation {
        let rows: EncodedRows
        let preprocessing: Preprocessing
        public init(rows: EncodedRows, preprocessing: Preprocessing) {
            self.rows = rows
            self.preprocessing = preprocessing
        }
    }

    private let network: FeatureNetwork
    private let rows: RowTensors
    private let outputs: [OutputConfig]
    private let losses: [OutputLoss]
    private let validation: Validation?
    private let seed: UInt64
    private let device: Device
    private let hasImages: Bool
    private let goOn: () throws -> Void
    private var lastBatch: (results: [Tensor], targets: [Tensor])?

    /// - Parameters:
    ///   - rows: the training rows.
    ///   - outputs: the recipe's outputs, in the network's order.
    ///   - goOn: asked between the parts of long work; throws where it is to end.
    /// - Throws: `invalidData` where no rows are left, or those that are held out have no label of some output.
    public init(
        network: FeatureNetwork, rows: EncodedRows, outputs: [OutputConfig], seed: UInt64, augment: [AugmentStep] = [],
        validation: Validation? = nil, device: Device = .cpu, goOn: @escaping () throws -> Void = {}
    ) throws {
        self.network = network
        self.outputs = outputs
        self.validation = validation.flatMap { $0.rows.count > 0 ? $0 : nil }
        self.seed = seed
        self.device = device
        self.goOn = goOn
        hasImages = network.config.inputs.contains { $0.type == .image }
        self.rows = try RowTensors(
            rows, device: device, augmenter: augment.isEmpty ? nil : Augmenter(steps: augment, seed: seed))
        guard rows.count > 0 else {
            throw MartletError(.invalidData, "no rows are left to train on; check cleaning and split")
        }
        if let validation { try Evaluator.checkLabels(of: outputs, in: validation.rows, "the validation rows") }
        let counts = try ClassCounts(rows, outputs: outputs)
        losses = try zip(outputs.indices, outputs).map {
            try OutputLoss($1, classCounts: counts[$0], device: device)
        }
    }

    public var module: any Module { network }
    public var rowCount: Int { rows.count }

    public var unit: (name: String, perRow: Int) {
        if hasImages { return ("images", 1) }
        guard outputs.contains(where: { $0.type == .sequence }) else { return ("rows", 1) }
        let targets = lastBatch?.targets.first
        return ("tokens", targets.map { $0.rank == 2 ? $0.size(1) : 1 } ?? 1)
    }

    public func begin(epoch: Int, shuffled: Bool) throws {
        guard shuffled else { return try rows.setOrder(nil) }
        let key = RandomKey(seed: seed, purpose: RandomPurpose.shuffling, step: UInt64(epoch))
        try rows.setOrder(key.permutation(rows.count))
    }

    public func losses(_ places: Range<Int>, _ forward: Forward) throws -> [Tensor] {
        if forward.part > 0 { try goOn() }
        let batch = try rows.batch(places, step: Int(clamping: forward.step))
        let results = try network(batch.inputs, forward)
        lastBatch = (results, batch.targets)
        return try losses.indices.map { try losses[$0](results[$0], batch.targets[$0]) }
    }

    public func weights(of places: Range<Int>) throws -> [Double] {
        try zip(losses, rows.targets(places)).map { try $0.weight(of: $1) }
    }

    /// The share of the last batch's labels that the first category output got right; nil where there are none.
    public var batchAccuracy: Double? {
        guard let batch = lastBatch,
            let index = outputs.firstIndex(where: { $0.type == .category || $0.type == .sequence })
        else { return nil }
        return try? Tensor.inference {
            let targets = batch.targets[index]
            let count = try targets.ge(0).to(.int64).sum().intItem()
            guard count > 0 else { return nil }
            let right = try batch.results[index].detach().argmax(-1).eq(targets).to(.int64).sum().intItem()
            return Double(right) / Double(count)
        }
    }

    public func validate() throws -> [String: Double]? {
        guard let validation else { return nil }
        let evaluator = try Evaluator(
            network: network, outputs: outputs, preprocessing: validation.preprocessing, device: device)
        return try evaluator.evaluate(validation.rows, device: device) { _ in try goOn() }.metrics
    }

    public func sample() throws -> String? { nil }
}

extension TrainingSession {
    /// A session over encoded rows that measures nothing besides.
    public convenience init(_ recipe: Recipe, network: FeatureNetwork, rows: EncodedRows) throws {
        let objective = try FeatureObjective(
            network: network, rows: rows, outputs: recipe.outputs, seed: UInt64(recipe.training.seed),
            augment: recipe.data.augment)
        try self.init(objective, config: recipe.training)
    }
}

/// How many training rows each class of each output has.
private struct ClassCounts {
    private var counts: [[Int]] = []

    init(_ rows: EncodedRows, outputs: [OutputConfig]) throws {
        let targets = rows.layouts.filter { $0.role == .target }
        for (index, output) in outputs.enumerated() {
            guard output.loss?.classWeights == .balanced, index < targets.count,
                let classes = targets[index].cardinality
            else {
                counts.append([])
                continue
            }
            var count = [Int](repeating: 0, count: classes)
            for start in stride(from: 0, to: rows.count, by: 65_536) {
                let batch = try rows.batch(rows: Array(start..<min(start + 65_536, rows.count)))
                if case .ints(let labels)? = batch.features.first(where: { $0.layout == targets[index] })?.values {
                    for label in labels where label >= 0 && label < classes { count[Int(label)] += 1 }
                }
            }
            counts.append(count)
        }
    }

    subscript(_ index: Int) -> [Int] { counts[index] }
}
