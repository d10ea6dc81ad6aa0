import Foundation
import MartletStore
import MartletWire

/// Takes the bundle that a worker left into the blobs. Nothing in it is trusted: names come from a fixed list, links
/// are refused, sizes of what is parsed are bounded.
struct BundleReader: Sendable {
    let blobs: BlobStore

    static let required = [
        BundleFile.weights, BundleFile.preprocessing, BundleFile.signature, BundleFile.card,
    ]
    static let optional = [BundleFile.config, "tokenizer.json"]
    private static let documentLimit = 64 << 20

    /// The model to register under `name`; its blobs stay pinned until the caller unpins them. `folder` is inside the
    /// job's own folder.
    func read(_ folder: String, name: String, jobID: String) throws -> NewModel {
        var files: [TreeFile] = []
        do {
            for file in Self.required + Self.optional {
                let path = "\(folder)/\(file)"
                if Self.optional.contains(file), !FileManager.default.fileExists(atPath: path) { continue }
                let stored = try blobs.storeFile(at: path)
                files.append(TreeFile(path: file, hash: stored.hash, byteCount: stored.byteCount))
            }
            var card = try document(ModelCard.self, BundleFile.card, files)
            card.jobID = jobID
            return NewModel(
                name: try Name.check(name, what: "model"), tree: try Tree(files: files), card: card,
                signature: try document(Signature.self, BundleFile.signature, files))
        } catch {
            blobs.unpin(files.map(\.hash))
            throw error
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
