import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// Adapters of random numbers for a model, in a folder that goes with this.
final class BenchAdapters: Sendable {
    let references: [AdapterReference]
    private let folder: URL

    /// - Parameters:
    ///   - layers: ends of the names of the layers that they add to.
    ///   - model: before its weights are packed.
    init(_ count: Int, rank: Int, layers: [String], for model: any LanguageModel) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString)")
        self.folder = folder
        let parameters = model.parameters().filter { item in
            layers.contains { item.name.hasSuffix($0 + ".weight") }
        }
        guard !parameters.isEmpty else {
            throw MartletError(.usage, "the model has no layer named like \(layers.joined(separator: ", "))")
        }
        references = try (0..<count).map { index in
            let url = folder.appending(path: "adapter-\(index)")
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            var tensors: [(String, Tensor)] = []
            for item in parameters {
                let name = "base_model.model." + item.name.dropLast(".weight".count)
                let (outputs, inputs) = (item.parameter.value.size(0), item.parameter.value.size(1))
                for (part, shape) in [("lora_A", [rank, inputs]), ("lora_B", [outputs, rank])] {
                    let key = RandomKey(
                        seed: UInt64(index), purpose: RandomPurpose.initialization,
                        stream: RandomKey.stream(named: name + part))
                    tensors.append(("\(name).\(part).weight", try Tensor.normal(shape, std: 0.02, key: key)))
                }
            }
            try SafeTensors.write(tensors, to: url.appending(path: AdapterFolder.weightsName).path)
            try Data("{\"peft_type\":\"LORA\",\"r\":\(rank),\"lora_alpha\":\(rank)}".utf8)
                .write(to: url.appending(path: AdapterFolder.configName))
            return AdapterReference(reference: "adapter-\(index)", contentHash: "bench-\(index)", path: url.path)
        }
    }

    deinit { try? FileManager.default.removeItem(at: folder) }
}
