import MartletNN
import MartletTensor
import Testing

@Suite struct LossGoldenTests {
    @Test(arguments: Precision.all)
    func lossesGivePyTorchsValuesAndGradients(_ precision: Precision) throws {
        let golden = try Golden("losses")
        let weights = try golden.tensor("class_weights").to(precision.type)
        let positive = try golden.tensor("positive_weights").to(precision.type)
        var losses: [String: (Tensor, Tensor) throws -> Tensor] = [
            "ce": { try Loss.crossEntropy($0, $1) }, "ce_sum": { try Loss.crossEntropy($0, $1, .sum) },
            "ce_weights": { try Loss.crossEntropy($0, $1, classWeights: weights) },
            "ce_smoothing": { try Loss.crossEntropy($0, $1, labelSmoothing: 0.1) },
            "ce_both": { try Loss.crossEntropy($0, $1, classWeights: weights, labelSmoothing: 0.2) },
            "ce_ignoring": { try Loss.crossEntropy($0, $1, ignoring: 1) },
            "ce_places": { try Loss.crossEntropy($0, $1) }, "bce": { try Loss.binaryCrossEntropy($0, $1) },
            "bce_weights": { try Loss.binaryCrossEntropy($0, $1, positiveWeight: positive) },
        ]
        for (name, reduction) in [("mean", Loss.Reduction.mean), ("sum", .sum), ("none", .none)] {
            losses["mse_\(name)"] = { try Loss.mse($0, $1, reduction) }
            losses["mae_\(name)"] = { try Loss.mae($0, $1, reduction) }
            losses["huber_\(name)"] = { try Loss.huber($0, $1, delta: 0.7, reduction) }
        }
        #expect(Set(losses.keys) == golden.caseNames.subtracting(["class_weights", "positive_weights"]))
        for (name, loss) in losses {
            let prediction = try golden.tensor("\(name)/prediction").to(precision.type).clone().requiresGrad(true)
            var target = try golden.tensor("\(name)/target")
            if target.scalarType.isFloatingPoint { target = try target.to(precision.type) }
            let value = try loss(prediction, target)
            try golden.expect(value, "\(name)/value", precision)
            try value.sum().backward()
            try golden.expect(prediction.grad, "\(name)/grad", precision)
        }
    }

    @Test func aTargetOfAnotherShapeIsRefusedInsteadOfBroadcast() throws {
        let prediction = try Tensor.zeros([4, 1])
        let target = try Tensor.zeros([4])
        for loss in [{ try Loss.mse($0, $1) }, { try Loss.mae($0, $1) }, { try Loss.binaryCrossEntropy($0, $1) }]
            as [(Tensor, Tensor) throws -> Tensor]
        {
            let error = #expect(throws: TensorError.self) { try loss(prediction, target) }
            #expect(error?.message.contains("[4, 1]") == true)
        }
    }
}
