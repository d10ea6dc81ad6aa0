import Foundation
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    /// `/api/v1/models`: list, show, download, delete.
    var modelRoutes: [Route] {
        let base = "/api/v1/models"
        return importRoutes(base + "/{model}/imports") + [
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

extension API {
    /// Models of other tools: begin, stream the files, commit; the answer is the job that reads them.
    private func importRoutes(_ base: String) -> [Route] {
        [
            Route(.post, base, .developers, "Begin an import under a name; the answer names the upload.") { call in
                try call.checkQuery()
                try await call.checkNoBody()
                let (name, by) = try call.of("model")
                let upload = try await platform.imports.begin(name: name, by: by)
                return .document(["upload": .string(upload)], status: .created)
            },
            Route(
                .put, base + "/{upload}/files/{path…}", .developers, "Send one file of a model.", isLogged: false
            ) { call in
                try call.checkQuery()
                let (upload, by) = try call.of("upload")
                let file = try await platform.imports.addFile(
                    upload: upload, path: call.parameter("path"), body: UploadBody(call), by: by)
                return try .json(file, status: .created)
            },
            Route(.post, base + "/{upload}/commit", .developers, "Start the job that reads the model (?base=).") {
                call in
                try call.checkQuery("base")
                try await call.checkNoBody()
                let (upload, by) = try call.of("upload")
                let job = try await platform.imports.commit(upload: upload, base: call.query("base"), by: by)
                return try .json(job, status: .created)
            },
            Route(.delete, base + "/{upload}", .developers, "Give an import up.") { call in
                try call.checkQuery()
                let (upload, by) = try call.of("upload")
                try await platform.imports.abandon(upload: upload, by: by)
                return .nothing
            },
        ]
    }
}

/// A file's bytes as an answer, read as the client takes them.
enum FileDownload {
    private static let chunkByteCount = 256 << 10

    static func response(
        _ path: String, byteCount: Int, type: String = "application/octet-stream"
    ) throws -> Response {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MartletError(.internal, "the file is registered and not on disk; restore it from a backup")
        }
        return Response(
            status: .ok, headers: [.contentType: type, .contentDisposition: "attachment"],
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
