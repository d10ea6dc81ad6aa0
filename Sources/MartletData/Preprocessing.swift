import Foundation
import MartletWire
import Synchronization

/// `preprocessing.json`: everything that was learnt from the training split, so that serving applies the same code to
/// a request as training did to its rows.
public struct Preprocessing: Codable, Sendable, Equatable {
    /// Of the file's form.
    public let version: Int
    /// The inputs in the recipe's order, then the targets.
    public let features: [FittedFeature]
    public let cleaning: [FittedStep]
    /// How the training data wrote numbers; a number in JSON needs none of it.
    let numbers: NumberFormat
    /// Words that meant "no value" in the training data.
    public let missing: [String]
    private let compiled = Compiled()

    enum CodingKeys: String, CodingKey { case version, features, cleaning, numbers, missing }

    init(features: [FittedFeature], cleaning: [FittedStep], numbers: NumberFormat, missing: [String]) {
        version = 1
        self.features = features
        self.cleaning = cleaning
        self.numbers = numbers
        self.missing = missing
    }

    public static func == (left: Preprocessing, right: Preprocessing) -> Bool {
        left.features == right.features && left.cleaning == right.cleaning && left.numbers == right.numbers
            && left.missing == right.missing
    }

    public var inputs: [FittedFeature] { features.filter { $0.role == .input } }
    public var targets: [FittedFeature] { features.filter { $0.role == .target } }
    /// As the rows of training are laid out: the inputs, then the targets.
    public var layouts: [FeatureLayout] { features.map(\.layout) }

    /// Reads what `encoded()` wrote. Throws `invalidData`.
    public static func read(from path: String) throws -> Preprocessing {
        let read: Preprocessing
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            read = try JSONDecoder.wire.decode(Preprocessing.self, from: data)
        } catch let error as DecodingError {
            throw MartletError(.invalidData, "\(BundleFile.preprocessing) is damaged: \(error.plainMessage)")
        } catch {
            throw MartletError(.notFound, "\(BundleFile.preprocessing) cannot be read; register the model again")
        }
        guard read.version == 1 else {
            throw MartletError(
                .invalidData, "\(BundleFile.preprocessing) has version \(read.version); this program reads 1")
        }
        for feature in read.features where !feature.isComplete {
            throw MartletError(
                .invalidData,
                "\(BundleFile.preprocessing) is damaged: '\(feature.name)' contradicts itself; import the model again")
        }
        return read
    }

    /// The bytes of `preprocessing.json`.
    public func encoded() throws -> Data { try JSONEncoder.wire.encode(self) }

    func encoders(role: FeatureLayout.Role? = nil, place: (String) throws -> Int) throws -> [FeatureEncoder] {
        let sequence = inputs.first { $0.tokenizer != nil }
        return try features.filter { role == nil || $0.role == role }.map {
            try FeatureEncoder($0, place: place, partner: sequence)
        }
    }

    /// Built on the first request and kept.
    private final class Compiled: Sendable {
        let serving = Mutex<ServingEncoder?>(nil)
    }

    var serving: ServingEncoder {
        get throws {
            try compiled.serving.withLock { held in
                if let held { return held }
                let made = try ServingEncoder(self)
                held = made
                return made
            }
        }
    }

    /// What goes in and what comes out, raw: typed columns for rows, tensors for the Open Inference Protocol.
    public var signature: Signature {
        var signature = Signature()
        for feature in inputs {
            signature.inputs.append(Self.tensor(feature))
            for column in feature.columns {
                let type = feature.kind == .vector && feature.columns.count > 1 ? "number" : feature.kind.rawValue
                signature.inputColumns.append(
                    Signature.Column(
                        name: column, type: type, categories: feature.kind == .category ? feature.categories : nil))
            }
        }
        for feature in targets {
            signature.outputs += Self.outputs(feature)
            signature.outputColumns.append(
                Signature.Column(
                    name: feature.name, type: feature.kind.rawValue,
                    categories: feature.categories.isEmpty ? nil : feature.categories))
        }
        return signature
    }

    private static func tensor(_ feature: FittedFeature) -> Signature.TensorSpec {
        switch feature.kind {
        case .number: .init(name: feature.name, datatype: "FP32", shape: [-1])
        case .vector: .init(name: feature.name, datatype: "FP32", shape: [-1, feature.length])
        case .image:
            .init(name: feature.name, datatype: "FP32", shape: [-1, feature.channels, feature.height, feature.width])
        case .boolean: .init(name: feature.name, datatype: "BOOL", shape: [-1])
        case .category, .text, .sequence, .datetime: .init(name: feature.name, datatype: "BYTES", shape: [-1])
        }
    }

    private static func outputs(_ feature: FittedFeature) -> [Signature.TensorSpec] {
        let name = feature.name
        switch feature.kind {
        case .category:
            return [
                .init(name: name, datatype: "BYTES", shape: [-1]),
                .init(name: name + "_probabilities", datatype: "FP32", shape: [-1, feature.categories.count]),
            ]
        case .boolean:
            return [
                .init(name: name, datatype: "BOOL", shape: [-1]),
                .init(name: name + "_probability", datatype: "FP32", shape: [-1]),
            ]
        case .vector: return [.init(name: name, datatype: "FP32", shape: [-1, feature.length])]
        case .number: return [.init(name: name, datatype: "FP32", shape: [-1])]
        default: return [.init(name: name, datatype: "BYTES", shape: [-1])]
        }
    }
}
