import Foundation
import MartletWire
import NIOCore

/// Writes a model's files into a folder, each checked against its hash before it gets its name.
struct BundleExport {
    let client: Client
    let folder: String

    func write(_ model: ModelInfo) async throws {
        let manager = FileManager.default
        guard (try? manager.contentsOfDirectory(atPath: folder))?.isEmpty ?? true else {
            throw MartletError(.conflict, "the folder '\(folder)' is not empty; name a new one")
        }
        do {
            try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw MartletError(.unavailable, "the folder '\(folder)' cannot be made; name one where you may write")
        }
        for file in model.files {
            guard !file.path.hasPrefix("/"), !file.path.split(separator: "/").contains("..") else {
                throw MartletError(
                    .invalidData, "the file name '\(file.path)' leads out of the folder; do not trust it")
            }
            let target = folder + "/" + file.path
            try manager.createDirectory(
                atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            let partial = target + ".part"
            guard manager.createFile(atPath: partial, contents: nil), let handle = FileHandle(forWritingAtPath: partial)
            else {
                throw MartletError(.unavailable, "'\(partial)' cannot be written; check the folder's permissions")
            }
            defer { try? handle.close() }
            let reference = Client.segment("\(model.name)@\(model.version)")
            let response = try await client.request(
                .GET, "/api/v1/models/\(reference)/files/\(Client.path(file.path))")
            for try await chunk in response.body { try handle.write(contentsOf: Data(buffer: chunk)) }
            guard try ContentHash.ofFile(at: partial) == file.hash else {
                throw MartletError(
                    .invalidData,
                    "'\(file.path)' arrived damaged; export again, and if it stays so restore the server's blobs")
            }
            try manager.moveItem(atPath: partial, toPath: target)
        }
    }
}
