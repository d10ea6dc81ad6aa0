import Foundation
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    /// `/api/v1/models`: list, show, download, delete.
    var modelRoutes: [Route] {
        let base = "/api/v1/models"
        return [
            Route(.get, base, .developers, "List models, or the versions of one (?name=).") { call in
                try call.checkQuery("name")
                let by = try call.caller()
                if let name = call.query("name") {
                    return try await .json(Page(data: platform.models.versions(of: name, by: by)))
                }
                return try await .json(Page(data: platform.models.list(by: by)))
            },
            Route(.get, base + "/{model}", .developers, "Show a model, by name or name@version.") { call in
                try call.checkQuery()
                let (model, by) = try call.of("model")
                return try await .json(platform.models.show(model, by: by))
            },
            Route(.get, base + "/{model}/files/{file…}", .developers, "Download a file of the model's bundle.") {
                call in
                try call.checkQuery()
                let (model, by) = try call.of("model")
                let file = try await platform.models.file(call.parameter("file"), of: model, by: by)
                return try FileDownload.response(file.localPath, byteCount: file.byteCount)
            },
            Route(.delete, base + "/{model}", .developers, "Delete a model or one version of it.") { call in
                try call.checkQuery("force")
                let (model, by) = try call.of("model")
                let force = try call.queryFlag("force")
                return try await .json(Deleted(broken: platform.models.delete(model, force: force, by: by)))
            },
        ]
    }
}

/// A file's bytes as an answer, read as the client takes them.
enum FileDownload {
    private static let chunkByteCount = 256 << 10

    static func response(_ path: String, byteCount: Int) throws -> Response {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MartletError(.internal, "the file is registered and not on disk; restore it from a backup")
        }
        return Response(
            status: .ok, headers: [.contentType: "application/octet-stream", .contentDisposition: "attachment"],
            body: ResponseBody(contentLength: byteCount) { writer in
                defer { try? file.close() }
                var left = byteCount
                while left > 0, let data = try file.read(upToCount: min(chunkByteCount, left)), !data.isEmpty {
                    left -= data.count
                    try await writer.write(ByteBuffer(data: data))
                }
                try await writer.finish(nil)
            })
    }
}
