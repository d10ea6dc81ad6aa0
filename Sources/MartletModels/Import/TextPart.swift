import Foundation
import MartletTensor
import MartletWire

/// The text part of a model that takes pictures too (Gemma 3 from 4B, Mistral Small 3, Llava, Qwen2-VL): it becomes a
/// model of its own, of the class that transformers has for the text alone.
///
/// Of a text without pictures both compute the same: rotary positions in three dimensions, as Qwen2-VL has them, are
/// then one and the same number.
struct TextPart {
    /// The config.json of the text's own class.
    let config: JSON
    /// The text part's tensors, under the names that its own class gives them.
    let files: WeightFiles
    /// What was left out.
    let finding: String

    /// A class with a text part.
    private struct Form: Sendable {
        var architecture: String
        var modelType: String
        /// The text part's type, unless the config names another where any is allowed.
        var text: String
        /// Whether that is the only one.
        var isFixed = false
        /// Whether the output layer is the embedding, where the config does not say.
        var isTied = false
        /// Whether the text part's own word on that counts too.
        var asksText = false
        /// Whether older configs have the text part's keys beside their own.
        var isFlat = false
    }

    private static let forms: [Form] = [
        Form(
            architecture: "Gemma3ForConditionalGeneration", modelType: "gemma3", text: "gemma3_text", isFixed: true,
            isTied: true),
        Form(
            architecture: "Mistral3ForConditionalGeneration", modelType: "mistral3", text: "mistral", isTied: true),
        Form(
            architecture: "LlavaForConditionalGeneration", modelType: "llava", text: "llama", asksText: true),
        Form(architecture: "LlavaNextForConditionalGeneration", modelType: "llava_next", text: "llama"),
        Form(
            architecture: "LlavaOnevisionForConditionalGeneration", modelType: "llava_onevision", text: "qwen2",
            asksText: true),
        Form(architecture: "InternVLForConditionalGeneration", modelType: "internvl", text: "qwen2", isTied: true),
        Form(
            architecture: "Qwen2VLForConditionalGeneration", modelType: "qwen2_vl", text: "qwen2_vl_text",
            isFixed: true, asksText: true, isFlat: true),
        Form(
            architecture: "Qwen2_5_VLForConditionalGeneration", modelType: "qwen2_5_vl", text: "qwen2_vl_text",
            isFixed: true, asksText: true, isFlat: true),
    ]

    /// A text part's own class, with what transformers takes for keys that its config leaves out and this program asks
    /// for, or would take to be something else.
    private static let texts: [String: (architecture: String, modelType: String, defaults: JSONObject)] = [
        "llama": ("LlamaForCausalLM", "llama", sizes(32_000, 4096, 11_008, 32, 32)),
        "mistral": ("MistralForCausalLM", "mistral", sizes(32_000, 4096, 14_336, 32, 32)),
        "qwen2": ("Qwen2ForCausalLM", "qwen2", sizes(151_936, 4096, 22_016, 32, 32)),
        "gemma3_text": ("Gemma3ForCausalLM", "gemma3_text", sizes(262_208, 2304, 9216, 26, 8)),
        "qwen3": ("Qwen3ForCausalLM", "qwen3", sizes(151_936, 4096, 22_016, 32, 32)),
        "qwen2_vl_text": (
            "Qwen2ForCausalLM", "qwen2",
            sizes(
                152_064, 8192, 29_568, 80, 64,
                ["num_key_value_heads": 8, "rms_norm_eps": 1e-5, "max_window_layers": 80])
        ),
    ]

    private static func sizes(
        _ vocabulary: Int, _ width: Int, _ feedforward: Int, _ layers: Int, _ heads: Int, _ more: JSONObject = [:]
    ) -> JSONObject {
        var sizes: JSONObject = [
            "vocab_size": JSON(vocabulary), "hidden_size": JSON(width), "intermediate_size": JSON(feedforward),
            "num_hidden_layers": JSON(layers), "num_attention_heads": JSON(heads),
        ]
        for (key, value) in more { sizes[key] = value }
        return sizes
    }

    /// What the tensors of everything but the text part begin with.
    private static let others = ["vision_tower.", "multi_modal_projector.", "visual.", "image_newline"]
    /// What the text part's tensors begin with, and what those of its own class do.
    private static let prefixes = [
        ("language_model.model.", "model."), ("language_model.lm_head.", "lm_head."),
        ("model.language_model.", "model."),
    ]

    /// The classes' names, in the order of the documentation.
    static var architectures: [String] { forms.map(\.architecture) }

    /// nil where the config is of no such class.
    /// - Throws: `MartletError` that names what is missing, wrong or not supported.
    init?(_ json: JSON, _ files: WeightFiles) throws {
        let whole = try ModelConfig(json)
        let found =
            if let name = whole.architecture {
                Self.forms.first { $0.architecture == name }
            } else {
                Self.forms.first { $0.modelType == whole.modelType }
            }
        guard let form = found else { return nil }
        self.files = try files.renamed(Self.name)
        config = try Self.config(whole, form, hasHead: self.files.entry("lm_head.weight") != nil)
        finding = Self.finding(form, config, files)
    }

    /// The name of a tensor in the text's own class; nil for one that is no part of it.
    static func name(_ stored: String) -> String? {
        let inner = stored.hasPrefix("model.") ? String(stored.dropFirst("model.".count)) : stored
        if others.contains(where: { inner.hasPrefix($0) }) { return nil }
        guard let (old, new) = prefixes.first(where: { stored.hasPrefix($0.0) }) else { return stored }
        return new + stored.dropFirst(old.count)
    }

    private static func config(_ whole: ModelConfig, _ form: Form, hasHead: Bool) throws -> JSON {
        guard let part = try whole.part("text_config") ?? (form.isFlat ? whole : nil) else {
            throw MartletError(.invalidData, "config.json lacks 'text_config'")
        }
        let type = form.isFixed ? form.text : try part.text("model_type") ?? form.text
        guard let text = texts[type], var config = part.json.object else {
            throw whole.unsupported("the text part \"\(type.prefix(60))\"")
        }
        for key in config.keys where ["vision_", "image_", "video_"].contains(where: { key.hasPrefix($0) }) {
            config[key] = nil
        }
        for (key, value) in text.defaults where config[key] == nil { config[key] = value }
        config["architectures"] = [.string(text.architecture)]
        config["model_type"] = .string(text.modelType)
        if type == "qwen2_vl_text" { try setRotary(part, in: &config) }
        // The class with pictures gives its logits as they are, whatever its text part's config says.
        if type == "gemma3_text" { config["final_logit_softcapping"] = .null }
        // Of the whole: how its weights are stored, and which tokens begin and end its texts.
        for key in ["quantization_config", "dtype", "torch_dtype", "bos_token_id", "eos_token_id", "pad_token_id"] {
            if let value = whole.value(key) { config[key] = value }
        }
        let isTied =
            try whole.flag("tie_word_embeddings", form.isTied)
            || form.asksText && part.flag("tie_word_embeddings", false)
        config["tie_word_embeddings"] = .bool(isTied && !hasHead)
        return .object(config)
    }

    /// Without the division of its dimensions between time, height and width, which are the same for a text.
    private static func setRotary(_ part: ModelConfig, in config: inout JSONObject) throws {
        let older = try part.part("rope_scaling")?.json.object ?? [:]
        var rotary = try older.count > 0 ? older : part.part("rope_parameters")?.json.object ?? [:]
        config["rope_theta"] = rotary["rope_theta"] ?? config["rope_theta"] ?? 1_000_000.0
        for key in ["rope_theta", "mrope_section"] { rotary[key] = nil }
        let kind = (rotary["rope_type"] ?? rotary["type"])?.string ?? "default"
        config["rope_parameters"] = nil
        config["rope_scaling"] = ["default", "mrope"].contains(kind) ? .null : .object(rotary)
    }

    private static func finding(_ form: Form, _ config: JSON, _ files: WeightFiles) -> String {
        let left = files.names.filter { name($0) == nil }
        let bytes = left.reduce(0) { $0 + (files.entry($1)?.range.count ?? 0) }
        let made = config["architectures"]?.array?.first?.string ?? ""
        return "the text part of \(form.architecture) was taken, as \(made); what sees pictures was left out: "
            + "\(left.count) tensors of \(bytes) bytes"
    }

    /// Writes the tensors as `model.safetensors`, in the types that they have.
    func writeWeights(to folder: URL) throws {
        let names = files.names
        let planned = names.compactMap { name in
            files.entry(name).map { SafeTensors.Planned(name: name, type: $0.type, shape: $0.shape) }
        }
        try SafeTensors.write(
            planned, metadata: ["format": "pt"], to: folder.appending(path: "model.safetensors").path
        ) { try files.tensor(names[$0]) }
    }
}
