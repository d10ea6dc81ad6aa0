import Foundation
import MartletServing
import MartletTraining

extension ServingPath {
    /// As a replica loads and computes a bundle: an adapter through its base.
    static let replica = ServingPath { bundle, base, format in
        let folder = URL(filePath: bundle)
        let probe = try LanguageProbe(
            bundle: base.map { URL(filePath: $0) } ?? folder, adapter: base == nil ? nil : folder, format: format)
        return Model(
            format: probe.format.rawValue,
            parts: { tokens, body in
                try probe.forEachPart(of: tokens.map { Int32($0) }, partTokens: 48, body)
            })
    }
}
