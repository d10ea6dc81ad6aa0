import MartletTensor
import MartletWire

/// The architectures that are read of GGUF files, as llama.cpp names them: what their tensors are called in Hugging
/// Face's form, and what their config says beside what all of them have.
enum GGUFKind: String, CaseIterable {
    case llama, qwen2, qwen3, gemma2, gemma3, phi3

    /// Hugging Face's class and type.
    var names: (architecture: String, modelType: String) {
        switch self {
        case .llama: ("LlamaForCausalLM", "llama")
        case .qwen2: ("Qwen2ForCausalLM", "qwen2")
        case .qwen3: ("Qwen3ForCausalLM", "qwen3")
        case .gemma2: ("Gemma2ForCausalLM", "gemma2")
        case .gemma3: ("Gemma3ForCausalLM", "gemma3_text")
        case .phi3: ("Phi3ForCausalLM", "phi3")
        }
    }

    private static let parts = [
        "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
        "attn_k_norm": "self_attn.k_norm", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    ]
    /// Where Gemma's differ: it has norms behind both parts too.
    private static let gemmaParts = [
        "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    ]
    /// Where Phi's differ: its layers are joined.
    private static let phiParts = ["attn_qkv": "self_attn.qkv_proj", "ffn_up": "mlp.gate_up_proj"]

    /// The name of a layer's part; nil for one that it has not.
    func part(_ name: String) -> String? {
        let own =
            switch self {
            case .llama, .qwen2, .qwen3: [String: String]()
            case .gemma2, .gemma3: Self.gemmaParts
            case .phi3: Self.phiParts
            }
        return own[name] ?? Self.parts[name]
    }

    /// What the conversion to GGUF did to a tensor.
    enum Change {
        /// The two halves of each of so many heads' rows were mixed, since llama.cpp turns neighbouring dimensions.
        case mixed(heads: Int)
        /// 1 was added to a norm's weight.
        case raised
    }

    /// - Parameters:
    ///   - name: in Hugging Face's form.
    ///   - part: the layer's part as the file names it.
    func change(_ name: String, part: String, heads: Int, groups: Int) -> Change? {
        switch self {
        case .llama: part == "attn_q" ? .mixed(heads: heads) : part == "attn_k" ? .mixed(heads: groups) : nil
        case .gemma2, .gemma3: name.hasSuffix("norm.weight") ? .raised : nil
        case .qwen2, .qwen3, .phi3: nil
        }
    }

    /// Whether a tensor stands for a setting.
    func isSetting(_ name: String) -> Bool {
        name == "rope_freqs.weight" || self == .phi3 && name.hasPrefix("rope_factors_")
    }

    /// Adds what the kind has beside the rest.
    func complete(_ config: inout JSONObject, _ fields: GGUFFields, _ file: GGUFFile) throws {
        switch self {
        case .llama:
            try fields.refuse("attention.sliding_window")
            config["attention_bias"] = .bool(file.entries["blk.0.attn_q.bias"] != nil)
            config["mlp_bias"] = .bool(file.entries["blk.0.ffn_up.bias"] != nil)
        case .qwen2, .qwen3: try fields.refuse("attention.sliding_window")
        case .gemma2:
            config["attn_logit_softcapping"] = .double(try fields.number("attn_logit_softcapping", 50))
            config["final_logit_softcapping"] = .double(try fields.number("final_logit_softcapping", 30))
            config["sliding_window"] = JSON(try fields.size("attention.sliding_window", 4096))
            gemma(&config, layersOfLargest: 46)
        case .gemma3:
            let cap = try fields.number("final_logit_softcapping", 0)
            config["final_logit_softcapping"] = cap > 0 ? .double(cap) : .null
            let window = try fields.optionalSize("attention.sliding_window", zero: true) ?? 0
            config["sliding_window"] = JSON(max(1, window))
            config["sliding_window_pattern"] = window > 0 ? 6 : 1
            config["rope_local_base_freq"] = .double(try fields.number("rope.freq_base_swa", 10_000))
            gemma(&config, layersOfLargest: 62)
        case .phi3:
            let window = try fields.optionalSize("attention.sliding_window", zero: true) ?? 0
            config["sliding_window"] = window > 0 ? JSON(window) : .null
            let context = config["max_position_embeddings"]?.int ?? 0
            config["original_max_position_embeddings"] = JSON(
                try fields.size("rope.scaling.original_context_length", context))
            if let scaling = try Self.longFactors(fields, file) { config["rope_scaling"] = scaling }
        }
    }

    /// What the attention's scores are scaled by is in no file: it is the head size's, but the largest models' is that of
    /// the width over the heads.
    private func gemma(_ config: inout JSONObject, layersOfLargest: Int) {
        let (width, heads) = (config["hidden_size"]?.int ?? 0, config["num_attention_heads"]?.int ?? 1)
        let isLargest = config["num_hidden_layers"]?.int == layersOfLargest
        config["query_pre_attn_scalar"] = isLargest ? JSON(width / heads) : config["head_dim"]
        config["hidden_activation"] = "gelu_pytorch_tanh"
        config["hidden_act"] = nil
    }

    /// Phi's divisors of the angles, one for each pair of dimensions, in texts up to the first length and beyond it.
    private static func longFactors(_ fields: GGUFFields, _ file: GGUFFile) throws -> JSON? {
        func factors(_ name: String) throws -> JSON? {
            try file.entries["rope_factors_\(name).weight"].map {
                JSON.array(try file.tensor($0).to(.float64).array(of: Double.self).map(JSON.double))
            }
        }
        guard let long = try factors("long") else { return nil }
        var scaling: JSONObject = [
            "rope_type": "longrope", "short_factor": try factors("short") ?? [], "long_factor": long,
        ]
        if fields.value("rope.scaling.attn_factor") != nil {
            scaling["attention_factor"] = .double(try fields.number("rope.scaling.attn_factor", 1))
        }
        return .object(scaling)
    }
}
