import Foundation
import MartletNN
import MartletTensor
import MartletWire

extension TrainJob {
    /// Writes a language model's bundle and holds it to what was trained, through the path that will serve it.
    /// - Parameters:
    ///   - base: the folder of an adapter's base.
    ///   - trained: the logits [tokens, vocabulary] of a sequence, as training computes them.
    ///   - write: writes the bundle with this card into this folder.
    /// - Throws: `parityCheckFailed` where serving computes something else; nothing is published then.
    func publish(
        _ card: inout ModelCard, _ check: ParityCheck, base: String? = nil,
        trained: ([Int64]) throws -> Tensor, write: (ModelCard, String) throws -> Void
    ) throws {
        guard let serving else {
            throw MartletError(.internal, "a training job was started without a serving path to compare with")
        }
        let candidate = "\(task.directory)/candidate"
        try write(card, candidate)
        var parity: [String: Double] = [:]
        for format in [WeightFormat.dense, nil] {
            try link.goOn()
            link.progress(JobProgress(phase: "checking"))
            let served = try serving.load(candidate, base, format)
            parity[served.format] = try check.difference(trained, served, link.goOn)
        }
        card.parity = parity
        let shown = parity.sorted { $0.key < $1.key }.map { "\($0.key) \(String(format: "%.2g", $0.value))" }
        link.event(
            JobEvent(
                key: "parity", type: "data",
                message: "serving computes what training computed; the largest difference of a logit: "
                    + shown.joined(separator: ", "), data: try JSON(encoding: parity)))
        try link.goOn()
        try write(card, "\(task.directory)/bundle")
        try FileManager.default.removeItem(atPath: candidate)
    }
}
