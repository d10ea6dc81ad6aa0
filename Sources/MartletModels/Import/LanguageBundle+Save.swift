import Foundation
import MartletNN
import MartletTensor
import MartletWire

extension LanguageBundle {
    /// Writes a model as `model.safetensors` with its `config.json`, in the form that transformers reads.
    ///
    /// What the architecture's files hold and the model lacks, such as biases that were left out, is written as zeros,
    /// and the config no longer says that they are missing.
    /// - Parameters:
    ///   - config: the config that the model was made from.
    ///   - type: the elements' type in the file.
    ///   - folder: an existing folder; files of the same names are replaced.
    public static func save(
        _ model: any LanguageModel, config: JSON, type: ScalarType = .float32, to folder: URL
    ) throws {
        let map = model.checkpoint
        var tensors: [(String, Tensor)] = try model.state().map { name, tensor in
            let stored = try map.isTransposed(name) ? tensor.transpose() : tensor
            return (name, try stored.detach().to(type).contiguous())
        }
        var config = config.object ?? JSONObject()
        if config["bias"] == .bool(false), config["model_type"] == "gpt2" {
            tensors += try zeroBiases(for: tensors, type)
            config["bias"] = nil
        }
        config["dtype"] = .string(type.rawValue)
        config["torch_dtype"] = nil
        try SafeTensors.write(
            tensors, metadata: ["format": "pt"], to: folder.appending(path: "model.safetensors").path)
        do {
            try Data((JSON.object(config).serialized(pretty: true) + "\n").utf8)
                .write(to: folder.appending(path: "config.json"), options: .atomic)
        } catch {
            throw MartletError(.storageFull, "config.json could not be written; make room and try again")
        }
    }

    /// GPT-2's biases where a model was trained without: one for each weight of a layer or norm.
    private static func zeroBiases(for tensors: [(String, Tensor)], _ type: ScalarType) throws -> [(String, Tensor)] {
        try tensors.compactMap { name, weight in
            guard name.contains(".ln_") || name.contains(".c_"), name.hasSuffix(".weight") else { return nil }
            let bias = name.dropLast("weight".count) + "bias"
            return (String(bias), try Tensor.zeros([weight.size(-1)], type: type))
        }
    }
}
