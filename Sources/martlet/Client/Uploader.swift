import AsyncHTTPClient
import Foundation
import MartletWire
import NIOCore

/// Sends files and folders to a dataset, each streamed from disk.
struct Uploader {
    private static let chunkByteCount = 1 << 20
    /// A file on its way: where it lies here and where it goes in the dataset.
    struct Item: Equatable {
        var local: String
        var remote: String
    }
    struct Begun: Decodable { var upload: String }

    let client: Client
    let output: Output

    /// Adds `paths` as the next version of `name`; the same content gives the version that has it.
    func add(name: String, paths: [String]) async throws -> DatasetInfo {
        let items = try Self.items(paths)
        return try await upload(items, to: "/api/v1/datasets/\(Client.segment(name))/versions") { index in
            if !output.isQuiet, items.count > 20, (index + 1) % 500 == 0 {
                output.note("\(index + 1) of \(items.count) files sent")
            }
        }
    }

    /// Sends a model's files and starts the job that reads them; `base` is what an adapter is added to.
    func importModel(name: String, files: [Item], base: String?) async throws -> JobInfo {
        let query = base.map { "?base=\(Client.segment($0))" } ?? ""
        return try await upload(files, to: "/api/v1/models/\(Client.segment(name))/imports", query: query) { index in
            output.note("sent \(files[index].remote)")
        }
    }

    /// Begins an upload at `path`, sends the files and hands them over together; what cannot be sent whole is given up.
    private func upload<Answer: Decodable>(
        _ items: [Item], to path: String, query: String = "", sent: (_ index: Int) -> Void
    ) async throws -> Answer {
        let begun: Begun = try await client.send(.POST, path)
        let upload = path + "/" + Client.segment(begun.upload)
        do {
            for (index, item) in items.enumerated() {
                try await send(item, to: upload + "/files/" + Client.path(item.remote))
                sent(index)
            }
            return try await client.send(.POST, upload + "/commit" + query)
        } catch {
            try? await client.perform(.DELETE, upload)
            throw error
        }
    }

    private func send(_ item: Item, to path: String) async throws {
        guard let file = FileHandle(forReadingAtPath: item.local) else {
            throw MartletError(.notFound, "the file '\(item.local)' cannot be read; check its permissions")
        }
        defer { try? file.close() }
        let length = try file.seekToEnd()
        try file.seek(toOffset: 0)
        let chunks = FileChunks(file: file, byteCount: Self.chunkByteCount)
        let response = try await client.request(
            .PUT, path, body: .stream(chunks, length: .known(Int64(length))),
            headers: [("Content-Type", "application/octet-stream")])
        _ = try await response.body.collect(upTo: 1 << 20)
    }

    /// The files of `paths`: a file under its own name, a folder's files under their paths in it, hidden ones left out.
    static func items(_ paths: [String]) throws -> [Item] {
        var items: [Item] = []
        for path in paths {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
                throw MartletError(.notFound, "there is no file or folder '\(path)'; check the path")
            }
            guard isFolder.boolValue else {
                items.append(Item(local: path, remote: (path as NSString).lastPathComponent))
                continue
            }
            // A link to a folder has nothing in it for whoever does not follow it.
            let folder = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
            for relative in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? [] {
                let isHidden = relative.split(separator: "/").contains { $0.hasPrefix(".") }
                let local = folder + "/" + relative
                guard !isHidden, FileManager.default.fileExists(atPath: local, isDirectory: &isFolder),
                    !isFolder.boolValue
                else { continue }
                items.append(Item(local: local, remote: relative.precomposedStringWithCanonicalMapping))
            }
        }
        guard !items.isEmpty else {
            throw MartletError(.invalidData, "\(paths.joined(separator: ", ")): there is no file in it; add some")
        }
        var seen: Set<String> = []
        for item in items where !seen.insert(item.remote).inserted {
            throw MartletError(
                .invalidData, "two files are called '\(item.remote)'; put them in one folder and add that")
        }
        return items.sorted { $0.remote < $1.remote }
    }
}

/// A file's bytes, a piece at a time.
private struct FileChunks: AsyncSequence, Sendable {
    let file: FileHandle
    let byteCount: Int

    struct AsyncIterator: AsyncIteratorProtocol {
        let file: FileHandle
        let byteCount: Int
        mutating func next() async throws -> ByteBuffer? {
            guard let data = try file.read(upToCount: byteCount), !data.isEmpty else { return nil }
            return ByteBuffer(data: data)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(file: file, byteCount: byteCount) }
}
