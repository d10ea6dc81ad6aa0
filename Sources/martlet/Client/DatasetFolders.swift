import Foundation
import MartletWire

/// Datasets of the home as folders that the engine can read, for what runs without a job.
final class DatasetFolders {
    private let options: GlobalOptions
    private var made: [String] = []

    init(options: GlobalOptions) { self.options = options }

    /// The folder with the files of dataset `reference`, laid out by links to the home's blobs.
    func path(of reference: String) async throws -> String {
        guard options.givenURL == nil else {
            throw MartletError(
                .notFound, "there is no file or folder '\(reference)' here; plan reads files on this machine")
        }
        let info: DatasetInfo = try await Connection.with(options) {
            try await $0.get("/api/v1/datasets/\(Client.segment(reference))")
        }
        return try folder(info.contentHash, info.files)
    }

    /// The folder of a language model's base, and of the model itself where it is an adapter.
    func base(_ reference: String) async throws -> (path: String, adapter: String?) {
        guard options.givenURL == nil else {
            throw MartletError(.notFound, "the base '\(reference)' is not on this machine; plan reads files here")
        }
        let (model, base) = try await Connection.with(options) { client -> (ModelInfo, ModelInfo?) in
            let model: ModelInfo = try await client.get("/api/v1/models/\(Client.segment(reference))")
            guard let below = model.signature.language?.base else { return (model, nil) }
            return (model, try await client.get("/api/v1/models/\(Client.segment(below.reference))"))
        }
        let path = try folder(model.contentHash, model.files)
        return try base.map { (try folder($0.contentHash, $0.files), path) } ?? (path, nil)
    }

    private func folder(_ hash: String, _ files: [TreeFile]) throws -> String {
        let home = options.homePath
        let laidOut = "\(home)/run/trees/\(hash)"
        if FileManager.default.fileExists(atPath: laidOut) { return laidOut }
        let folder = "\(home)/run/plan-\(UUID().uuidString)"
        made.append(folder)
        for file in files {
            let target = folder + "/" + file.path
            try FileManager.default.createDirectory(
                atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            try FileManager.default.linkItem(
                atPath: "\(home)/blobs/sha256/\(file.hash.prefix(2))/\(file.hash)", toPath: target)
        }
        return folder
    }

    func remove() {
        for folder in made { try? FileManager.default.removeItem(atPath: folder) }
    }
}
