import MartletServing
import MartletTraining

extension ServingPath {
    /// As a replica loads and computes a bundle.
    static let replica = ServingPath { bundle, base, format in
        let served = try ServedLogits(bundle: bundle, base: base, format: format)
        return Model(format: served.format.rawValue) { try served($0) }
    }
}
