import MartletWire

/// The encoders that this program can compute, by the class that Hugging Face's config.json names.
public enum TextEncoderCatalog {
    /// The architectures' names.
    public static let architectures = ["Bert", "Roberta", "XLMRoberta"].flatMap { kind in
        ["Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification", "ForQuestionAnswering"].compactMap {
            kind != "Bert" && $0 == "ForPreTraining" ? nil : kind + $0
        }
    }

    /// Whether a config is that of an encoder.
    public static func has(_ config: JSON) -> Bool {
        (try? ModelConfig(config).architecture).flatMap { $0 }.map(architectures.contains) ?? false
    }

    /// An encoder of a config's form; its parameters are to be loaded or initialized.
    /// - Parameter hasPooler: whether the weights have BERT's pooling layer, which not all files keep.
    public static func make(config json: JSON, hasPooler: Bool) throws -> TextEncoder {
        let config = try ModelConfig(json)
        guard let name = config.architecture, architectures.contains(name) else {
            throw MartletError(
                .unsupportedFormat, "\(config.architecture ?? "a model without a name") is no encoder that is supported"
            )
        }
        // XLM-RoBERTa (Conneau and others, 2019) is RoBERTa with other words.
        let isRoberta = !name.hasPrefix("Bert")
        let shape = try BERT.Config(config, isRoberta: isRoberta)
        let (isClassifier, answers) = (name.hasSuffix("SequenceClassification"), name.hasSuffix("QuestionAnswering"))
        let task: TextEncoder.Task =
            isClassifier
            ? .classification(labels: try labels(config)) : answers ? .questionAnswering : .embedding
        let pools = isClassifier ? !isRoberta : answers ? false : hasPooler
        return try TextEncoder(shape, task, isRoberta: isRoberta, hasPooler: pools)
    }

    private static func labels(_ config: ModelConfig) throws -> [String] {
        guard let names = try config.part("id2label")?.json.object else {
            return (0..<min(1 << 20, try config.size("num_labels", 2))).map { "LABEL_\($0)" }
        }
        guard names.count > 0, names.count <= 1 << 20 else {
            throw MartletError(.invalidData, "'id2label' of config.json has \(names.count) labels")
        }
        return try (0..<names.count).map { index in
            guard let label = names[String(index)]?.string else {
                throw MartletError(.invalidData, "'id2label' of config.json has no label \(index)")
            }
            return label
        }
    }
}
