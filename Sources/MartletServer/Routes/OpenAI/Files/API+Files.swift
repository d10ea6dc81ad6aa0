import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire

extension API {
    /// `/v1/files` and `/v1/uploads`.
    var fileRoutes: [Route] {
        [
            Route(.post, "/v1/files", .developers, "Upload a file: a form with 'file' and 'purpose'.") { call in
                try await OpenAIFiles(platform: platform).create(call)
            },
            Route(.get, "/v1/files", .developers, "List files.") { call in
                try await OpenAIFiles(platform: platform).list(call)
            },
            Route(.get, "/v1/files/{file}", .developers, "Show a file.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("file")
                return try await .document(OpenAIFiles.document(platform.files.show(id, by: by)))
            },
            Route(.delete, "/v1/files/{file}", .developers, "Delete a file that no unfinished job reads.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("file")
                try await platform.files.delete(id, by: by)
                return .document(["id": .string(id), "object": "file", "deleted": true])
            },
            Route(.get, "/v1/files/{file}/content", .developers, "Download a file's content.") { call in
                try call.checkQuery()
                let (id, by) = try call.of("file")
                let content = try await platform.files.content(of: id, by: by)
                return try FileDownload.response(
                    content.localPath, byteCount: content.file.byteCount, type: content.contentType)
            },
            Route(.post, "/v1/uploads", .developers, "Begin a file that comes in parts.") { call in
                try await OpenAIUploads(platform: platform).create(call)
            },
            Route(.post, "/v1/uploads/{upload}/parts", .developers, "Send one part: a form with 'data'.") { call in
                try await OpenAIUploads(platform: platform).addPart(call)
            },
            Route(.post, "/v1/uploads/{upload}/complete", .developers, "Make the file of its parts.") { call in
                try await OpenAIUploads(platform: platform).complete(call)
            },
            Route(.post, "/v1/uploads/{upload}/cancel", .developers, "Give an upload up.") { call in
                try call.checkQuery()
                try await call.checkNoBody()
                let (id, by) = try call.of("upload")
                return try await .document(OpenAIUploads.document(platform.uploads.cancel(id, by: by), nil))
            },
        ]
    }
}
