import MartletNN
import MartletWire

/// The language models that this program can compute, by the class that Hugging Face's config.json names.
public enum LanguageModelCatalog {
    typealias Maker = @Sendable (ModelConfig) throws -> any LanguageModel

    private static let makers: [(architecture: String, modelType: String, make: Maker)] = [
        ("LlamaForCausalLM", "llama", Llama.make)
    ]

    /// The architectures' names, in the order of the documentation.
    public static var architectures: [String] { makers.map(\.architecture) }

    /// A model of a config's form; its parameters are to be loaded or initialized.
    /// - Throws: `MartletError` with `unsupportedFormat` that names what is not supported.
    public static func make(config json: JSON) throws -> any LanguageModel {
        let config = try ModelConfig(json)
        let found =
            if let architecture = config.architecture {
                makers.first { $0.architecture == architecture }
            } else {
                makers.first { $0.modelType == config.modelType }
            }
        guard let found else {
            let name = config.architecture ?? config.modelType ?? "without a name"
            throw MartletError(
                .unsupportedFormat,
                "the architecture \(name) is not supported; supported are \(architectures.joined(separator: ", "))")
        }
        try config.refuse("quantization_config")
        return try found.make(config)
    }
}
