import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// The loss of one output, as the recipe sets it.
struct OutputLoss {
    let kind: LossConfig.Kind
    let weight: Double
    private let smoothing: Double
    private let delta: Double
    private let classWeights: (values: [Float], tensor: Tensor)?

    /// `targets` counts each class of the training rows, for balanced weights.
    init(_ output: OutputConfig, classCounts: [Int], device: Device) throws {
        let usual: LossConfig.Kind =
            switch output.type {
            case .category, .sequence, .text: .crossEntropy
            case .boolean: .binaryCrossEntropy
            case .number, .vector: .mse
            }
        let config = output.loss ?? LossConfig(type: usual)
        kind = config.type
        weight = output.weight
        smoothing = config.labelSmoothing
        delta = config.delta
        if config.classWeights == .balanced, config.type == .crossEntropy {
            let total = Double(classCounts.reduce(0, +))
            let weights = classCounts.map { Float(total / (Double(classCounts.count) * Double(max($0, 1)))) }
            classWeights = (weights, try Tensor(weights, shape: [weights.count], device: device))
        } else {
            classWeights = nil
        }
    }

    /// The mean loss of a batch.
    func callAsFunction(_ result: Tensor, _ target: Tensor) throws -> Tensor {
        let loss: Tensor
        switch kind {
        case .crossEntropy:
            // Sequences: [B, T, classes] and [B, T] are rows of B·T tokens.
            let logits = result.rank == 3 ? try result.reshape([-1, result.size(2)]) : result
            let labels = target.rank == 2 ? try target.reshape([-1]) : target
            loss = try Loss.crossEntropy(logits, labels, classWeights: classWeights?.tensor, labelSmoothing: smoothing)
        case .binaryCrossEntropy: loss = try Loss.binaryCrossEntropy(result, target)
        case .mse: loss = try Loss.mse(result, target)
        case .mae: loss = try Loss.mae(result, target)
        case .huber: loss = try Loss.huber(result, target, delta: delta)
        }
        return weight == 1 ? loss : try loss.mul(weight)
    }

    /// What a batch's mean is divided by: rows, or labels without padding, each as much as its class weighs.
    func weight(of target: Tensor) throws -> Double {
        guard kind == .crossEntropy, target.rank == 2 || classWeights != nil else { return Double(target.size(0)) }
        return try target.array(of: Int64.self).reduce(0) { sum, label in
            guard label >= 0 else { return sum }
            return sum + (classWeights.map { Double($0.values[Int(label)]) } ?? 1)
        }
    }
}
