import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// A folder that PEFT wrote: low-rank additions to the linear layers of a model that it names (Hu and others, 2021).
public struct AdapterFolder {
    public static let configName = "adapter_config.json"
    public static let weightsName = "adapter_model.safetensors"

    /// The model that the adapter was made for, as its config names it.
    public let baseName: String
    let config: ModelConfig
    let files: WeightFiles

    /// - Throws: `MartletError` with `unsupportedFormat` that names what is not supported.
    public init(_ url: URL) throws {
        let file = url.appending(path: AdapterFolder.configName)
        guard FileManager.default.fileExists(atPath: file.path) else {
            throw MartletError(.notFound, "the folder has no \(AdapterFolder.configName)")
        }
        let config = try ModelConfig(
            ModelFolder.json(file, limit: ModelFolder.jsonLimit), file: AdapterFolder.configName)
        let refuse = { (what: String) in
            MartletError(.unsupportedFormat, "\(what) of \(AdapterFolder.configName) is not supported; only LoRA is")
        }
        let kind = try config.text("peft_type") ?? "LORA"
        guard kind == "LORA" else { throw refuse("the adapter kind '\(kind)'") }
        for key in [
            "use_dora", "modules_to_save", "layer_replication", "trainable_token_indices", "target_parameters",
            "use_qalora", "alora_invocation_tokens",
        ] {
            if let value = config.value(key), value != .bool(false), value != .array([]), value != .object([:]) {
                throw refuse("'\(key)': \(value.serialized().prefix(60))")
            }
        }
        if let bias = try config.text("bias"), bias != "none" { throw refuse("'bias': \"\(bias)\"") }
        if let start = config.value("init_lora_weights")?.string,
            ["pissa", "olora", "corda", "loftq"].contains(where: { start.hasPrefix($0) })
        {
            throw MartletError(
                .unsupportedFormat,
                "'init_lora_weights' of \(AdapterFolder.configName) is \"\(start.prefix(60))\", which changes the base's own "
                    + "weights too; save the adapter with path_initial_model_for_weight_conversion and import that")
        }
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
            "the folder is an adapter for '\(baseName)'; import that model first and give its name here as "
                + "the base (--base NAME)")
    }

    /// One layer's addition.
    struct Part {
        var a: String
        var b: String
        var scale: Double
    }

    /// The additions by the name of the weight that they are for.
    func parts() throws -> [String: Part] {
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
            // One that was made for a model that takes pictures too names the text part's layers as that does.
            let weight = TextPart.name(target + ".weight") ?? target + ".weight"
            found[weight] = Part(a: name, b: other, scale: try scale(target, rank: rank))
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
        // PEFT takes each for an expression, and the first that fits: names alone are sure to mean the same here.
        let marks = Set(#"\*^$+?()[]{}|"#)
        if let pattern = patterns.keys.first(where: { !marks.isDisjoint(with: $0) }) {
            throw MartletError(
                .unsupportedFormat,
                "'\(key)' of \(AdapterFolder.configName) has the pattern '\(pattern.prefix(60))'; give names of layers")
        }
        guard let value = patterns.first(where: { layer == $0.key || layer.hasSuffix("." + $0.key) })?.value else {
            return nil
        }
        guard let number = value.double else {
            throw MartletError(
                .invalidData, "'\(key)' of \(AdapterFolder.configName) gives '\(layer.suffix(60))' no number")
        }
        return number
    }

    func mismatch(_ what: String) -> MartletError {
        MartletError(.invalidRequest, "the adapter is for '\(baseName)', not for this base: \(what)")
    }
}
