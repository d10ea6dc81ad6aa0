import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

extension API {
    /// `/api/v1/datasets`: begin a version, stream its files, commit it.
    var datasetRoutes: [Route] {
        let base = "/api/v1/datasets"
        return [
            Route(.get, base, .developers, "List datasets, the newest version of each.") { call in
                try call.checkQuery()
                return try await .json(Page(data: platform.datasets.list(by: call.caller())))
            },
            Route(.get, base + "/{name}", .developers, "Show a dataset, by name or name@version.") { call in
                try call.checkQuery()
                let (name, by) = try call.of("name")
                return try await .json(platform.datasets.show(name, by: by))
            },
            Route(.delete, base + "/{name}", .developers, "Delete a dataset or one version of it.") { call in
                try call.checkQuery("force")
                let (name, by) = try call.of("name")
                let force = try call.queryFlag("force")
                return try await .json(Deleted(broken: platform.datasets.delete(name, force: force, by: by)))
            },
            Route(.post, base + "/{name}/versions", .developers, "Begin a version; the answer names the upload.") {
                call in
                try call.checkQuery()
                try await call.checkNoBody()
                let (name, by) = try call.of("name")
                let upload = try await platform.datasets.beginVersion(name: name, by: by)
                return .document(["upload": .string(upload)], status: .created)
            },
            Route(
                .put, base + "/{name}/versions/{upload}/files/{path…}", .developers, "Send one file of a version.",
                isLogged: false
            ) { call in
                try call.checkQuery()
                let (upload, by) = try call.of("upload")
                let file = try await platform.datasets.addFile(
                    upload: upload, path: call.parameter("path"), body: UploadBody(call), by: by)
                return try .json(file, status: .created)
            },
            Route(.post, base + "/{name}/versions/{upload}/commit", .developers, "Register the version.") { call in
                try call.checkQuery()
                try await call.checkNoBody()
                let (upload, by) = try call.of("upload")
                return try await .json(platform.datasets.commit(upload: upload, by: by), status: .created)
            },
            Route(.delete, base + "/{name}/versions/{upload}", .developers, "Give an upload up.") { call in
                try call.checkQuery()
                let (upload, by) = try call.of("upload")
                try await platform.datasets.abandon(upload: upload, by: by)
                return .nothing
            },
        ]
    }
}

/// An uploaded file's bytes as they come, cut off past the upload limit.
struct UploadBody: AsyncSequence, Sendable {
    private let body: RequestBody
    private let limit: Int

    /// `extraBytes` are for what stands around the file. Throws `tooLarge` by the announced length alone, and
    /// `unsupportedFormat` for a body that came compressed.
    init(_ call: Call, extraBytes: Int = 0) throws {
        limit = call.limits.uploadLimit(extraBytes)
        body = call.request.body
        if let encoding = call.header(.contentEncoding), encoding.lowercased() != "identity" {
            throw MartletError(.unsupportedFormat, "files are sent as they are; leave Content-Encoding out")
        }
        guard call.request.announced <= limit else { throw Self.tooLarge(limit) }
    }

    private static func tooLarge(_ limit: Int) -> MartletError {
        MartletError(.tooLarge, "the file is larger than \(limit) bytes; split it, or raise upload_limit_bytes")
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate var base: RequestBody.AsyncIterator
        fileprivate let limit: Int
        fileprivate var byteCount = 0

        mutating func next() async throws -> ByteBuffer? {
            guard let chunk = try await base.next() else { return nil }
            byteCount += chunk.readableBytes
            guard byteCount <= limit else { throw UploadBody.tooLarge(limit) }
            return chunk
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(base: body.makeAsyncIterator(), limit: limit) }
}
