import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// A folder that PEFT wrote: low-rank additions to the linear layers of a model that it names (Hu and others, 2021).
public struct AdapterFolder {
    static let configName = "adapter_config.json"
    static let weightsName = "adapter_model.safetensors"

    /// The model that the adapter was made for, as its config names it.
    public let baseName: String
    private let config: ModelConfig
    private let files: WeightFiles

    /// - Throws: `MartletError` with `unsupportedFormat` that names what is not supported.
    public init(_ url: URL) throws {
        guard
            let config = try ModelFolder.data(
                url.appending(path: AdapterFolder.configName), limit: ModelFolder.jsonLimit
            )
            .map({ try ModelConfig(JSONParser.parse($0)) })
        else { throw MartletError(.notFound, "the folder has no \(AdapterFolder.configName)") }
        let refuse = { (what: String) in
            MartletError(.unsupportedFormat, "\(what) of \(AdapterFolder.configName) is not supported; only LoRA is")
        }
        let kind = try config.text("peft_type") ?? "LORA"
        guard kind == "LORA" else { throw refuse("the adapter kind '\(kind)'") }
        for key in ["use_dora", "modules_to_save", "layer_replication", "trainable_token_indices", "target_parameters"]
        {
            if let value = config.value(key), value != .bool(false), value != .array([]), value != .object([:]) {
                throw refuse("'\(key)': \(value.serialized().prefix(60))")
            }
        }
        if let bias = try config.text("bias"), bias != "none" { throw refuse("'bias': \"\(bias)\"") }
        guard FileManager.default.fileExists(atPath: url.appending(path: AdapterFolder.weightsName).path) else {
            throw MartletError(
                .unsupportedFormat, "the adapter has no \(AdapterFolder.weightsName), the only form read")
        }
        self.config = config
        baseName = try config.text("base_model_name_or_path") ?? "a model without a name"
        files = try WeightFiles(folder: url, fileNames: [AdapterFolder.weightsName])
    }

    func baseMissing() -> MartletError {
        MartletError(
            .invalidRequest,
            "the folder is an adapter for '\(baseName)'; import that model first and name it as the base")
    }

    /// One layer's addition.
    private struct Part {
        var a: String
        var b: String
        var scale: Double
    }

    /// Writes the base's files with the additions in its weights, in the types that the base has.
    func merge(into base: URL, writing target: URL) throws -> ImportReport {
        let folder = try ModelFolder(base)
        let weights = try WeightFiles(folder: base)
        var report = try ModelImport.check(folder, weights)
        let model = try ImportedModel(config: folder.config, tensors: weights.names)
        var parts = try parts()
        var merged: [(String, Tensor)] = []
        for name in weights.names {
            var tensor = try weights.tensor(name)
            let key = model.checkpoint.parameterName(name)
            if let part = parts.removeValue(forKey: name) ?? parts.removeValue(forKey: key) {
                tensor = try added(part, to: tensor, name, isTransposed: model.checkpoint.isTransposed(key))
            }
            merged.append((name, tensor))
        }
        if let left = parts.keys.sorted().first { throw mismatch("the base has no layer '\(left)'") }
        try ModelImport.makeFolder(target)
        try SafeTensors.write(
            merged, metadata: ["format": "pt"], to: target.appending(path: "model.safetensors").path)
        try ModelImport.copyBeside(folder, to: target)
        report.findings.append("an adapter made for '\(baseName)' is merged into the weights")
        return report
    }

    private func added(_ part: Part, to tensor: Tensor, _ name: String, isTransposed: Bool) throws -> Tensor {
        let (a, b) = (try files.tensor(part.a).to(.float32), try files.tensor(part.b).to(.float32))
        guard a.rank == 2, b.rank == 2, a.size(0) == b.size(1) else {
            throw MartletError(.invalidData, "'\(part.a)' \(a.shape) and '\(part.b)' \(b.shape) cannot be multiplied")
        }
        var sum = try b.matmul(a).mul(part.scale)
        if isTransposed { sum = try sum.transpose() }
        guard sum.shape == tensor.shape else {
            throw mismatch("its addition to '\(name)' has the shape \(sum.shape), the base \(tensor.shape)")
        }
        return try tensor.to(.float32).add(sum).to(tensor.scalarType).contiguous()
    }

    /// The additions by the name of the weight that they are for.
    private func parts() throws -> [String: Part] {
        var found: [String: Part] = [:]
        for name in files.names {
            guard name.hasSuffix(".lora_A.weight") else {
                guard name.hasSuffix(".lora_B.weight") else {
                    throw MartletError(.unsupportedFormat, "the adapter's tensor '\(name)' is not supported")
                }
                continue
            }
            let layer = String(name.dropLast(".lora_A.weight".count))
            let other = layer + ".lora_B.weight"
            guard files.entry(other) != nil, let rank = files.entry(name)?.shape.first, rank > 0 else {
                throw MartletError(.invalidData, "the adapter's tensor '\(name)' has no '\(other)' beside it")
            }
            var target = layer
            for prefix in ["base_model.model."] where target.hasPrefix(prefix) {
                target = String(target.dropFirst(prefix.count))
            }
            found[target + ".weight"] = Part(a: name, b: other, scale: try scale(target, rank: rank))
        }
        guard found.count * 2 == files.names.count else {
            throw MartletError(.invalidData, "the adapter has a lora_B without its lora_A")
        }
        return found
    }

    private func scale(_ layer: String, rank: Int) throws -> Double {
        let alpha = try pattern("alpha_pattern", layer) ?? config.number("lora_alpha", 8)
        let isRootScaled = try config.flag("use_rslora", false)
        return alpha / (isRootScaled ? Double(rank).squareRoot() : Double(rank))
    }

    /// A layer's own number where the config has one for the end of its name.
    private func pattern(_ key: String, _ layer: String) throws -> Double? {
        guard let patterns = try config.part(key)?.json.object else { return nil }
        for (name, value) in patterns where layer == name || layer.hasSuffix("." + name) { return value.double }
        guard patterns.keys.allSatisfy({ key in key.utf8.allSatisfy { $0 != 0x5C && $0 != 0x2A && $0 != 0x5E } }) else {
            throw MartletError(.unsupportedFormat, "'\(key)' of \(AdapterFolder.configName) has a pattern, not a name")
        }
        return nil
    }

    private func mismatch(_ what: String) -> MartletError {
        MartletError(.invalidRequest, "the adapter is for '\(baseName)', not for this base: \(what)")
    }
}
