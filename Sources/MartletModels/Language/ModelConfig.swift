import Foundation
import MartletNN
import MartletWire

/// A Hugging Face `config.json`, or a file of its kind, read key by key: what is missing, of another type or out of bounds
/// is named.
public struct ModelConfig: Sendable {
    /// The most layers that a config may ask for.
    static let layerLimit = 2_000
    /// The most that any width, count or length may be.
    static let sizeLimit = 1 << 30

    public let json: JSON
    /// The file's name, for messages.
    private let file: String

    public init(_ json: JSON, file: String = "config.json") throws {
        guard json.object != nil else {
            throw MartletError(.invalidData, "\(file) holds \(json.kind), not an object")
        }
        self.json = json
        self.file = file
    }

    /// The class that the weights are of, such as `LlamaForCausalLM`; where the config names none, the usual one of an
    /// encoder's type, else nil.
    public var architecture: String? {
        json["architectures"]?.array?.first?.string ?? modelType.flatMap { ModelConfig.usual[$0] }
    }

    /// The classes of encoders whose configs name a type alone.
    private static let usual = [
        "bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel",
        "t5": "T5ForConditionalGeneration", "mt5": "MT5ForConditionalGeneration",
        "umt5": "UMT5ForConditionalGeneration",
    ]

    public var modelType: String? { json["model_type"]?.string }

    /// A value that is there and not null.
    func value(_ key: String) -> JSON? {
        guard let value = json[key], !value.isNull else { return Optional.none }
        return value
    }

    /// A whole number from 1 on.
    func size(_ key: String, _ fallback: Int? = nil) throws -> Int {
        guard let value = value(key) else {
            if let fallback { return fallback }
            throw MartletError(.invalidData, "\(file) lacks '\(key)'")
        }
        guard let number = value.int, number > 0, number <= ModelConfig.sizeLimit else {
            throw wrong(key, value, "a whole number from 1 to \(ModelConfig.sizeLimit)")
        }
        return number
    }

    func layers(_ key: String, _ fallback: Int? = nil) throws -> Int {
        let count = try size(key, fallback)
        guard count <= ModelConfig.layerLimit else {
            throw MartletError(
                .invalidData, "'\(key)' of \(file) is \(count); at most \(ModelConfig.layerLimit) are supported")
        }
        return count
    }

    func number(_ key: String, _ fallback: Double? = nil) throws -> Double {
        guard let value = value(key) else {
            if let fallback { return fallback }
            throw MartletError(.invalidData, "\(file) lacks '\(key)'")
        }
        guard let number = value.double, number.isFinite else { throw wrong(key, value, "a number") }
        return number
    }

    func flag(_ key: String, _ fallback: Bool) throws -> Bool {
        guard let value = value(key) else { return fallback }
        guard let flag = value.bool else { throw wrong(key, value, "true or false") }
        return flag
    }

    func text(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw wrong(key, value, "text") }
        return text
    }

    func part(_ key: String) throws -> ModelConfig? {
        guard let value = value(key) else { return nil }
        guard value.object != nil else { throw wrong(key, value, "an object") }
        return try ModelConfig(value, file: file)
    }

    /// What norms add before they divide: a number from 0 on.
    func epsilon(_ key: String, _ fallback: Double) throws -> Double {
        let value = try number(key, fallback)
        guard value >= 0 else {
            throw MartletError(.invalidData, "'\(key)' of \(file) is \(value); it is a number from 0 on")
        }
        return value
    }

    /// A probability from 0 up to 1.
    func probability(_ key: String, _ fallback: Double) throws -> Double {
        let value = try number(key, fallback)
        guard value >= 0, value < 1 else {
            throw MartletError(.invalidData, "'\(key)' of \(file) is \(value); it is a probability below 1")
        }
        return value
    }

    /// The deviation of the first weights.
    func initializerRange() throws -> Double {
        let std = try number("initializer_range", 0.02)
        guard std >= 0 else { throw MartletError(.invalidData, "'initializer_range' of \(file) is \(std)") }
        return std
    }

    /// An activation by the name that Hugging Face gives it.
    func activation(_ key: String, _ fallback: String) throws -> Activation {
        let name = try text(key) ?? fallback
        guard let activation = Self.activation(name) else { throw unsupported("'\(key)': \"\(name)\"") }
        return activation
    }

    /// The activation of a name; nil where there is none of it here.
    static func activation(_ name: String) -> Activation? {
        switch name {
        case "silu", "swish": .silu
        case "gelu", "gelu_python": .gelu
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate": .geluTanh
        case "relu": .relu
        case "tanh": .tanh
        case "sigmoid": .sigmoid
        case "leaky_relu": .leakyRelu
        case "linear": Activation.none
        default: nil
        }
    }

    /// Refuses a setting that the architecture has and this program has not.
    func refuse(_ key: String, unless allowed: JSON...) throws {
        guard let value = value(key), !allowed.contains(value) else { return }
        throw unsupported("'\(key)': \(value.serialized())")
    }

    func unsupported(_ what: String) -> MartletError {
        MartletError(
            .unsupportedFormat,
            "\(what) in the \(file) of \(architecture ?? modelType ?? "this model") is not supported")
    }

    private func wrong(_ key: String, _ value: JSON, _ wanted: String) -> MartletError {
        MartletError(
            .invalidData, "'\(key)' of \(file) is \(value.serialized().prefix(40)); it takes \(wanted)")
    }
}
