import Foundation
import MartletWire

extension AdapterFolder {
    /// One layer's addition: `y += scale·B·(A·x)` at a site of the base.
    public struct Addition: Sendable {
        public let site: AdapterSites.Site
        public let rank: Int
        public let scale: Double
        let a: String
        let b: String

        /// Numbers of both matrices.
        public var count: Int { rank * (site.inputs + site.outputs) }
    }

    /// The largest rank that is served.
    public static let rankLimit = 1024

    /// Its additions to a base that serves, checked against the base's layers and shapes, in the order of their names.
    /// - Throws: `invalidRequest` that names what does not fit the base, `unsupportedFormat` for what only merging can do.
    public func plan(for sites: AdapterSites) throws -> [Addition] {
        let parts = try parts()
        guard !parts.isEmpty else { throw MartletError(.invalidData, "the adapter has no tensors") }
        return try parts.sorted { $0.key < $1.key }.map { name, part in
            guard let site = sites[name] else {
                if sites.isRouted(name) {
                    throw MartletError(
                        .unsupportedFormat, "the adapter adds to the expert '\(name)', which only merging can do")
                }
                throw mismatch("the base has no layer '\(name)' that an adapter can add to")
            }
            let (a, b) = (files.entry(part.a)?.shape ?? [], files.entry(part.b)?.shape ?? [])
            guard a.count == 2, b.count == 2, a[0] == b[1], a[0] >= 1, a[0] <= AdapterFolder.rankLimit else {
                throw MartletError(
                    .invalidData,
                    "'\(part.a)' \(a) and '\(part.b)' \(b) cannot be multiplied, or have a rank over "
                        + "\(AdapterFolder.rankLimit)")
            }
            for name in [part.a, part.b] {
                let type = files.entry(name)?.type ?? .float32
                guard [.float32, .float16, .bfloat16].contains(type) else {
                    throw MartletError(
                        .unsupportedFormat, "'\(name)' is of \(type.rawValue); float32 or 16 bits are served")
                }
            }
            guard a[1] == site.inputs, b[0] == site.outputs else {
                throw mismatch(
                    "its addition to '\(name)' is [\(b[0]), \(a[1])], and the base's weight "
                        + "[\(site.outputs), \(site.inputs)]")
            }
            return Addition(site: site, rank: a[0], scale: part.scale, a: part.a, b: part.b)
        }
    }

    /// The matrices of an addition, [rank, inputs] and [outputs, rank].
    public func matrices(_ addition: Addition) throws -> (a: [Float], b: [Float]) {
        (try files.floats(addition.a), try files.floats(addition.b))
    }

    /// Numbers of all its tensors.
    public var parameterCount: Int {
        files.names.compactMap(files.entry).reduce(0) { $0 + $1.range.count / $1.type.size }
    }

    /// Bytes of its tensors in the file.
    public var byteCount: Int { files.byteCount }

    /// The type of most of its numbers.
    public var precision: String { files.types.map(\.rawValue).joined(separator: ", ") }
}
