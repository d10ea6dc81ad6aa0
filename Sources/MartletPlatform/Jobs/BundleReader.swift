import Foundation
import MartletStore
import MartletWire

/// Takes the bundle that a worker left into the blobs. Nothing in it is trusted: names come from a fixed list, links
/// are refused, sizes of what is parsed are bounded.
struct BundleReader: Sendable {
    let blobs: BlobStore

    static let required = [BundleFile.signature, BundleFile.card]
    static let optional =
        [
            BundleFile.weights, BundleFile.preprocessing, BundleFile.config, BundleFile.adapterConfig,
            BundleFile.adapterWeights,
        ] + BundleFile.language + BundleFile.pooling
    private static let shardLimit = 4096
    private static let documentLimit = 64 << 20

    /// The model to register under `name`; its blobs stay pinned until the caller unpins them. `folder` is inside the
    /// job's own folder.
    func read(_ folder: String, name: String, jobID: String) throws -> NewModel {
        var files: [TreeFile] = []
        do {
            for file in Self.required + Self.optional + (try shards(of: folder)) {
                let path = "\(folder)/\(file)"
                if Self.optional.contains(file), !FileManager.default.fileExists(atPath: path) { continue }
                let stored = try blobs.storeFile(at: path)
                files.append(TreeFile(path: file, hash: stored.hash, byteCount: stored.byteCount))
            }
            var card = try document(ModelCard.self, BundleFile.card, files)
            card.jobID = jobID
            let signature = try document(Signature.self, BundleFile.signature, files)
            try Self.checkComplete(files, signature)
            return NewModel(
                name: try Name.check(name, what: "model"), tree: try Tree(files: files), card: card,
                signature: signature)
        } catch {
            blobs.unpin(files.map(\.hash))
            throw error
        }
    }

    /// The index and the parts of weights that lie in several files.
    private func shards(of folder: String) throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter(BundleFile.isShard).sorted()
        guard names.count <= Self.shardLimit else {
            throw MartletError(.invalidData, "the bundle has \(names.count) weight files; merge them into fewer")
        }
        return names.isEmpty ? [] : [BundleFile.weightsIndex] + names
    }

    private static func checkComplete(_ files: [TreeFile], _ signature: Signature) throws {
        let names = Set(files.map(\.path))
        if signature.language?.base != nil {
            for name in [BundleFile.adapterConfig, BundleFile.adapterWeights] where !names.contains(name) {
                throw MartletError(.invalidData, "the adapter's bundle has no \(name); train or import it again")
            }
            return
        }
        var needed = signature.language != nil ? [BundleFile.config] : [BundleFile.preprocessing]
        if !names.contains(BundleFile.weightsIndex) { needed.append(BundleFile.weights) }
        for name in needed where !names.contains(name) {
            throw MartletError(.invalidData, "the bundle has no \(name); train or import the model again")
        }
    }

    private func document<Value: Decodable>(_ type: Value.Type, _ name: String, _ files: [TreeFile]) throws -> Value {
        guard let file = files.first(where: { $0.path == name }), file.byteCount <= Self.documentLimit else {
            throw MartletError(.invalidData, "the bundle's \(name) is missing or too large; train again")
        }
        let data = try Data(contentsOf: URL(fileURLWithPath: blobs.path(of: file.hash)))
        return try JSONParser.parse(data, limits: .trusted).decode(type)
    }
}
