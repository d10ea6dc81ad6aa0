import Foundation
import MartletModels
import MartletNN
import MartletServing
import MartletTensor
import MartletText
import MartletWire

/// A small base and adapters for it, in a folder that goes with this.
final class AdapterFixture: Sendable {
    let folder: URL
    var base: URL { folder.appending(path: "base") }

    /// Writes the base's bundle. Runs on the compute thread.
    init(_ name: String) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "adapters-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "base"), withIntermediateDirectories: true)
        let model = try TinyLanguageModel.make(name)
        try LanguageBundle.save(model, config: TinyLanguageModel.config(name), to: folder.appending(path: "base"))
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// Draws an adapter: every layer whose name ends like one of `layers`, with numbers that change logits well.
    func adapter(
        _ seed: UInt64, rank: Int = 4, layers: [String], config more: [String: JSON] = [:],
        change: (inout [(String, Tensor)]) throws -> Void = { _ in }
    ) throws -> AdapterReference {
        let url = folder.appending(path: "adapter-\(seed)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let model = try LanguageBundle.load(base).model
        var tensors: [(String, Tensor)] = []
        for item in model.parameters() where layers.contains(where: { item.name.hasSuffix($0 + ".weight") }) {
            let name = "base_model.model." + item.name.dropLast(".weight".count)
            let (outputs, inputs) = (item.parameter.value.size(0), item.parameter.value.size(1))
            for (part, shape) in [("lora_A", [rank, inputs]), ("lora_B", [outputs, rank])] {
                let key = RandomKey(
                    seed: seed, purpose: 99, stream: RandomKey.stream(named: name + part))
                tensors.append(("\(name).\(part).weight", try Tensor.normal(shape, std: 0.3, key: key)))
            }
        }
        try change(&tensors)
        try SafeTensors.write(tensors, to: url.appending(path: "adapter_model.safetensors").path)
        var config: JSONObject = [
            "peft_type": "LORA", "r": .int(Int64(rank)), "lora_alpha": 6, "base_model_name_or_path": "someone/base",
        ]
        for (key, value) in more { config[key] = value }
        try Data(JSON.object(config).serialized().utf8).write(to: url.appending(path: "adapter_config.json"))
        return AdapterReference(reference: "tuned-\(seed)@1", contentHash: url.lastPathComponent, path: url.path)
    }

    /// The base with the adapter in its weights, loaded.
    func merged(_ adapter: AdapterReference) throws -> any LanguageModel {
        let target = folder.appending(path: "merged-\(UUID().uuidString)")
        try ModelImport.merge(URL(filePath: adapter.path), into: base, to: target)
        return try LanguageBundle.load(target).model
    }
}

extension GenerationRequest {
    func through(_ adapter: AdapterReference?) -> GenerationRequest {
        var request = self
        request.adapter = adapter
        return request
    }
}

extension AdapterReference {
    var weights: URL { URL(filePath: path).appending(path: "adapter_model.safetensors") }
}
