import MartletTensor
import MartletWire

/// A GGUF file's model in Hugging Face's terms: its config.json, and what each tensor is called there.
struct GGUFModel {
    let config: JSON
    /// Names here → tensors in the file, with what is to be taken back.
    let tensors: [(name: String, entry: GGUFFile.Entry, change: GGUFKind.Change?)]
    /// What sentence-transformers' `1_Pooling/config.json` says; nil where the file does not say how vectors are made.
    let pooling: JSON?

    private static let outer = [
        "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    ]

    init(_ file: GGUFFile) throws {
        let architecture = file.metadata["general.architecture"]?.string ?? "without a name"
        guard let kind = GGUFKind(rawValue: architecture) else {
            throw MartletError(
                .unsupportedFormat,
                "the GGUF architecture '\(architecture)' is not supported; supported are "
                    + GGUFKind.allCases.map(\.rawValue).sorted().joined(separator: ", ")
                    + "; take the model's Hugging Face folder instead")
        }
        let fields = GGUFFields(metadata: file.metadata, prefix: architecture)
        let heads = try fields.size("attention.head_count")
        let groups = try fields.size("attention.head_count_kv", heads)
        tensors = try file.entries.values.sorted { $0.name < $1.name }.compactMap { entry in
            guard !kind.isSetting(entry.name) else { return nil }
            let (name, part) = try GGUFModel.name(entry.name, kind)
            return (name, entry, kind.change(name, part: part, heads: heads, groups: groups))
        }
        pooling = try GGUFModel.pooling(fields)
        var config = try GGUFModel.config(fields, file, heads: heads, groups: groups)
        config["architectures"] = [.string(kind.names.architecture)]
        config["model_type"] = .string(kind.names.modelType)
        try kind.complete(&config, fields, file)
        self.config = .object(config)
    }

    private static func config(
        _ fields: GGUFFields, _ file: GGUFFile, heads: Int, groups: Int
    ) throws -> JSONObject {
        let width = try fields.size("embedding_length")
        guard let rows = file.entries["token_embd.weight"]?.shape.first else {
            throw MartletError(.invalidData, "the GGUF file has no tensor 'token_embd.weight'")
        }
        var config: JSONObject = [
            "vocab_size": JSON(rows), "hidden_size": JSON(width),
            "intermediate_size": JSON(try fields.size("feed_forward_length")),
            "num_hidden_layers": JSON(try fields.size("block_count")), "num_attention_heads": JSON(heads),
            "num_key_value_heads": JSON(groups), "hidden_act": "silu",
            "head_dim": JSON(try fields.size("attention.key_length", max(1, width / heads))),
            "max_position_embeddings": JSON(try fields.size("context_length")),
            "rms_norm_eps": .double(try fields.number("attention.layer_norm_rms_epsilon", 1e-5)),
            "rope_theta": .double(try fields.number("rope.freq_base", 10_000)),
            "tie_word_embeddings": .bool(file.entries["output.weight"] == nil),
        ]
        // What the class has where a config says nothing are another model's tokens.
        for (key, name) in [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")] {
            let id = file.metadata["tokenizer.ggml.\(name)_token_id"]?.int ?? -1
            config[key] = (0..<rows).contains(id) ? JSON(id) : .null
        }
        let size = config["head_dim"]?.int ?? 0
        if let turned = try fields.optionalSize("rope.dimension_count"), turned != size {
            config["partial_rotary_factor"] = .double(Double(turned) / Double(size))
        }
        try fields.refuse("expert_count")
        if let scaling = try scaling(fields, file, context: config["max_position_embeddings"]?.int ?? 0) {
            config["rope_scaling"] = scaling
        }
        return config
    }

    private static func pooling(_ fields: GGUFFields) throws -> JSON? {
        // Numbers as in llama.cpp.
        let ways = ["none", "mean", "cls", "lasttoken"]
        guard let way = try fields.optionalSize("pooling_type", zero: true), way > 0 else { return nil }
        guard ways.indices.contains(way) else {
            throw MartletError(
                .unsupportedFormat,
                "'\(fields.prefix).pooling_type' (\(way)) in a GGUF file is not supported; 0 to \(ways.count - 1) are")
        }
        return ["pooling_mode": .string(ways[way])]
    }

    private static func scaling(_ fields: GGUFFields, _ file: GGUFFile, context: Int) throws -> JSON? {
        if let entry = file.entries["rope_freqs.weight"] {
            // Llama 3's scaling, already computed: a divisor for each pair of dimensions.
            let factors = try file.tensor(entry).to(.float64).array(of: Double.self).map(JSON.double)
            return [
                "rope_type": "longrope", "short_factor": .array(factors), "long_factor": .array(factors),
                "attention_factor": 1.0, "original_max_position_embeddings": JSON(context),
            ]
        }
        let kind = fields.value("rope.scaling.type")?.string ?? "none"
        switch kind {
        case "none": return nil
        // It is in tensors of its own.
        case "longrope" where file.entries["rope_factors_long.weight"] != nil: return nil
        case "linear":
            return ["rope_type": "linear", "factor": .double(try fields.number("rope.scaling.factor", 1))]
        case "yarn":
            return [
                "rope_type": "yarn", "factor": .double(try fields.number("rope.scaling.factor", 1)),
                "original_max_position_embeddings":
                    JSON(try fields.size("rope.scaling.original_context_length", context)),
            ]
        default: throw MartletError(.unsupportedFormat, "the rotary scaling '\(kind)' in a GGUF file is not supported")
        }
    }

    private static func name(_ name: String, _ kind: GGUFKind) throws -> (name: String, part: String) {
        if let known = outer[name] { return (known, name) }
        let words = name.split(separator: ".").map(String.init)
        guard words.count == 4, words[0] == "blk", let layer = Int(words[1]), layer >= 0,
            let part = kind.part(words[2]), words[3] == "weight" || words[3] == "bias"
        else { throw MartletError(.unsupportedFormat, "the tensor '\(name)' in a GGUF file is not supported") }
        return ("model.layers.\(layer).\(part).\(words[3])", words[2])
    }
}

/// The metadata of an architecture, read key by key.
struct GGUFFields {
    let metadata: [String: GGUFValue]
    let prefix: String

    func value(_ key: String) -> GGUFValue? { metadata[prefix + "." + key] }

    func size(_ key: String, _ fallback: Int? = nil) throws -> Int {
        if let size = try optionalSize(key) ?? fallback { return size }
        throw MartletError(.invalidData, "the GGUF file lacks '\(prefix).\(key)'")
    }

    func optionalSize(_ key: String, zero: Bool = false) throws -> Int? {
        guard let value = value(key) else { return nil }
        if let list = value.ints, Set(list).count > 1 {
            throw MartletError(
                .unsupportedFormat, "'\(prefix).\(key)' differs between the layers, which is not supported")
        }
        guard let number = value.int ?? value.ints?.first, number >= (zero ? 0 : 1), number <= ModelConfig.sizeLimit
        else { throw MartletError(.invalidData, "'\(prefix).\(key)' of the GGUF file is no whole number above 0") }
        return number
    }

    /// Refuses a number above 0.
    func refuse(_ key: String) throws {
        if let value = try optionalSize(key, zero: true), value > 0 {
            throw MartletError(.unsupportedFormat, "'\(key)' (\(value)) in a GGUF file is not supported")
        }
    }

    func number(_ key: String, _ fallback: Double) throws -> Double {
        guard let value = value(key) else { return fallback }
        guard let number = value.double, number.isFinite else {
            throw MartletError(.invalidData, "'\(prefix).\(key)' of the GGUF file is no number")
        }
        return number
    }
}
