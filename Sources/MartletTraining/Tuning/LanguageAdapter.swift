import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// Low-rank additions to the linear layers of a frozen language model; the module that a LoRA training trains and saves.
///
/// Its parameters are named as the layers that they are for: `model.layers.0.self_attn.q_proj.lora_A.weight`.
public final class LanguageAdapter: Module {
    /// Rank and scale of an adapter, as a recipe or a saved adapter has them.
    public struct Config: Sendable, Equatable {
        public var rank: Int
        public var alpha: Double
        public var dropout: Double
        /// Ends of the names of layers; empty for every linear layer but the output.
        public var targets: [String]

        public init(_ recipe: AdapterRecipe) {
            rank = recipe.rank
            alpha = recipe.alpha ?? Double(2 * recipe.rank)
            dropout = recipe.dropout
            targets = recipe.targets
        }
    }

    public let config: Config
    /// The last parts of the names of the layers with an addition, in the order of their first appearance.
    public let targets: [String]
    let pass = CurrentPass()
    private let additions: [(name: String, addition: LowRank)]
    /// Whether the base's files hold these weights with rows and columns exchanged, as GPT-2's do.
    private let isTransposed: Bool

    public var children: [(String, Any)] { additions.map { ($0.name, $0.addition) } }

    /// Freezes a model and puts additions beside its layers.
    /// - Parameter precision: how the frozen weights lie in memory; int8 lets their float32 go.
    /// - Throws: `invalidRecipe` where a target names no layer or the rank is more than a layer has.
    public init(_ model: any LanguageModel, _ config: Config, precision: AdapterRecipe.BasePrecision = .float32) throws
    {
        self.config = config
        let names = Self.names(model)
        let shared = model.sharedParameters()
        var found: [(String, LowRank)] = []
        var unused = Set(config.targets)
        // Layers of experts, which serving cannot add to while it serves.
        var routedEnds: Set<String> = []
        try model.setTrainable(false)
        for group in model.linearGroups {
            var parts: [(base: any LinearWeight, addition: LowRank?)] = []
            for layer in group.layers {
                let name = names[ObjectIdentifier(layer.weight)] ?? ""
                let target = config.targets.first { name == $0 || name.hasSuffix(".\($0)") }
                let isShared = shared.contains(ObjectIdentifier(layer.weight))
                let isOutput = isShared || name == "lm_head"
                if let target {
                    unused.remove(target)
                    try Self.check(target, name, isShared: isShared, isRouted: group.isRouted)
                }
                if group.isRouted { routedEnds.insert(Self.end(of: name)) }
                var addition: LowRank?
                if target != nil || config.targets.isEmpty && !isOutput && !group.isRouted {
                    let made = try Self.addition(to: layer, name, config)
                    found.append((name, made))
                    addition = made
                }
                let isSmall = precision == .int8 && !isShared && name != "lm_head"
                let base: any LinearWeight =
                    isSmall
                    ? try Int8Weight(layer.weight.value, bias: layer.bias?.value)
                    : DenseWeight(layer.weight.value, bias: layer.bias?.value)
                parts.append((base, addition))
            }
            group.packed = LowRankWeight(parts, pass)
            if precision == .int8 {
                try group.dropUnpacked {
                    shared.contains(ObjectIdentifier($0)) || names[ObjectIdentifier($0)] == "lm_head"
                }
            }
        }
        if let target = unused.min() {
            let known = Set(names.values.map { Self.end(of: $0) })
            throw MartletError(
                .invalidRecipe,
                "adapter.targets names '\(target)', which is no linear layer of the base; it has "
                    + known.sorted().joined(separator: ", "), param: "adapter.targets")
        }
        additions = found
        isTransposed = found.contains { model.checkpoint.isTransposed($0.0 + ".weight") }
        targets = config.targets.isEmpty ? Self.ends(of: found.map(\.0), routed: routedEnds) : config.targets
    }

    /// Throws where a recipe's target is a layer that has no addition of its own.
    private static func check(_ target: String, _ name: String, isShared: Bool, isRouted: Bool) throws {
        guard isShared || isRouted else { return }
        throw MartletError(
            .invalidRecipe,
            "adapter.targets names '\(target)', "
                + (isShared
                    ? "whose weight is the embedding's too; leave it out"
                    : "which \(name) is too, a layer of an expert, and adapters of those are not served; leave "
                        + "it out or name whole layers"),
            param: "adapter.targets")
    }

    private static func addition(to layer: Linear, _ name: String, _ config: Config) throws -> LowRank {
        let (outputs, inputs) = (layer.weight.value.size(0), layer.weight.value.size(1))
        guard config.rank <= min(outputs, inputs) else {
            throw MartletError(
                .invalidRecipe,
                "adapter.rank is \(config.rank), and \(name) has \(inputs) inputs and \(outputs) outputs; give a "
                    + "rank of at most \(min(outputs, inputs))", param: "adapter.rank")
        }
        return try LowRank(
            inputs, outputs, rank: config.rank, scale: config.alpha / Double(config.rank), dropout: config.dropout)
    }

    /// The last parts of names. PEFT matches ends of names: one that experts have too is written out.
    private static func ends(of names: [String], routed: Set<String>) -> [String] {
        var ends: [String] = []
        for name in names {
            let last = Self.end(of: name)
            let end = routed.contains(last) ? name : last
            if !ends.contains(end) { ends.append(end) }
        }
        return ends
    }

    private static func end(of name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }

    /// Linear layers' names by their weights.
    private static func names(_ model: any LanguageModel) -> [ObjectIdentifier: String] {
        let layers = Set(model.linearGroups.flatMap(\.layers).map { ObjectIdentifier($0.weight) })
        return Dictionary(
            model.parameters().compactMap { item in
                let id = ObjectIdentifier(item.parameter)
                guard layers.contains(id), item.name.hasSuffix(".weight") else { return nil }
                return (id, String(item.name.dropLast(".weight".count)))
            }, uniquingKeysWith: { first, _ in first })
    }
}

// MARK: PEFT's form

extension LanguageAdapter {
    private static let prefix = "base_model.model."

    /// Writes `adapter_config.json` and `adapter_model.safetensors`, which PEFT loads.
    /// - Parameter base: what the config calls the base.
    public func save(base: String, to folder: String) throws {
        let tensors = try state().map { (Self.prefix + $0.0, try $0.1.detach().to(.cpu).to(.float32).contiguous()) }
        try SafeTensors.write(tensors, metadata: ["format": "pt"], to: "\(folder)/\(BundleFile.adapterWeights)")
        let json: JSON = [
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": .string(base),
            "r": JSON(config.rank), "lora_alpha": .double(config.alpha), "lora_dropout": .double(config.dropout),
            "target_modules": .array(targets.map(JSON.string)), "bias": "none",
            "fan_in_fan_out": .bool(isTransposed), "inference_mode": true, "init_lora_weights": true,
            "use_rslora": false, "use_dora": false, "modules_to_save": nil, "rank_pattern": [:], "alpha_pattern": [:],
        ]
        try DurableFile.write(
            Data((json.serialized(pretty: true) + "\n").utf8), to: "\(folder)/\(BundleFile.adapterConfig)")
    }

    /// The config of an adapter that was saved, to go on from.
    /// - Throws: `unsupportedFormat` where it is no plain LoRA of one rank.
    public static func config(of folder: String) throws -> Config {
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(BundleFile.adapterConfig)") else {
            throw MartletError(.invalidData, "the adapter has no \(BundleFile.adapterConfig); train it again")
        }
        let json = try JSONParser.parse(data)
        let isPlain =
            (json["peft_type"]?.string ?? "LORA") == "LORA" && json["use_dora"]?.bool != true
            && json["use_rslora"]?.bool != true
            && ["rank_pattern", "alpha_pattern"].allSatisfy { (json[$0]?.object?.count ?? 0) == 0 }
        guard isPlain, let rank = json["r"]?.int, rank > 0, let targets = json["target_modules"]?.array else {
            throw MartletError(
                .unsupportedFormat,
                "the adapter is no plain LoRA of one rank, so it cannot be trained further; start from "
                    + "its base", param: "base")
        }
        var recipe = AdapterRecipe()
        recipe.rank = rank
        recipe.alpha = json["lora_alpha"]?.double ?? 8
        recipe.dropout = json["lora_dropout"]?.double ?? 0
        recipe.targets = targets.compactMap(\.string)
        return Config(recipe)
    }

    /// Takes the weights of a saved adapter.
    /// - Throws: `invalidData` that names what is missing, left over or of another shape.
    public func load(from folder: String) throws {
        let file = try SafeTensors(path: "\(folder)/\(BundleFile.adapterWeights)")
        try load(
            file.tensors().map { name, tensor in
                (
                    name.hasPrefix(Self.prefix) ? String(name.dropFirst(Self.prefix.count)) : name,
                    try tensor.to(.float32)
                )
            })
    }
}
