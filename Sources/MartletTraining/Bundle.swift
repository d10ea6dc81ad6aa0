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

    /// Writes the folder whole or not at all.
    public func write() throws {
        try BundleFolder.write(to: directory) { folder in
            let weights = try network.state().map { ($0.0, try $0.1.to(.cpu)) }
            try SafeTensors.write(weights, metadata: ["format": "pt"], to: "\(folder)/\(BundleFile.weights)")
            try BundleFolder.write(network.config, BundleFile.config, in: folder)
            try BundleFolder.write(preprocessing, BundleFile.preprocessing, in: folder)
            try BundleFolder.write(preprocessing.signature, BundleFile.signature, in: folder)
            try BundleFolder.write(card, BundleFile.card, in: folder)
        }
    }
}
