import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// A model as a folder that other tools can read.
public struct Bundle {
    public let network: FeatureNetwork
    public let preprocessing: Preprocessing
    public let card: ModelCard
    public let directory: String

    public init(network: FeatureNetwork, preprocessing: Preprocessing, card: ModelCard, directory: String) {
        self.network = network
        self.preprocessing = preprocessing
        self.card = card
        self.directory = directory
    }

    /// Writes the folder beside its place and renames it, so that a bundle is whole or not there.
    public func write() throws {
        let temporary = directory + ".writing"
        do {
            if FileManager.default.fileExists(atPath: temporary) {
                try FileManager.default.removeItem(atPath: temporary)
            }
            try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
            let weights = try network.state().map { ($0.0, try $0.1.to(.cpu)) }
            let weightsPath = "\(temporary)/\(BundleFile.weights)"
            try SafeTensors.write(weights, metadata: ["format": "pt"], to: weightsPath)
            try DurableFile.sync(weightsPath)
            try write(network.config, BundleFile.config, in: temporary)
            try write(preprocessing, BundleFile.preprocessing, in: temporary)
            try write(preprocessing.signature, BundleFile.signature, in: temporary)
            try write(card, BundleFile.card, in: temporary)
            try DurableFile.sync(temporary)
            if FileManager.default.fileExists(atPath: directory) {
                try FileManager.default.removeItem(atPath: directory)
            }
            try DurableFile.rename(temporary, to: directory)
        } catch {
            throw DurableFile.explain(error, what: "the model's bundle")
        }
    }

    private func write(_ value: some Encodable, _ name: String, in folder: String) throws {
        let encoder = JSONEncoder.wire
        encoder.outputFormatting.insert(.prettyPrinted)
        try DurableFile.write(try encoder.encode(value), to: "\(folder)/\(name)")
    }
}
