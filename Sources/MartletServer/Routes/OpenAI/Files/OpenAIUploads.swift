import Hummingbird
import MartletPlatform
import MartletWire

/// `/v1/uploads`.
struct OpenAIUploads {
    let platform: Platform
    private static let partLimit = 10_000

    func create(_ call: Call) async throws -> Response {
        try call.checkQuery()
        var fields = try RequestFields(await call.json())
        let filename = try fields.requiredString("filename")
        let purpose = try OpenAIFiles.purpose(fields.requiredString("purpose"))
        let mimeType = try fields.requiredString("mime_type")
        guard let byteCount = try fields.int("bytes", 0...Int.max) else {
            throw fields.fault("bytes", "is missing; add it")
        }
        let seconds = try OpenAIFiles.seconds(fields.object("expires_after"))
        try fields.finish()
        let upload = try await platform.uploads.create(
            filename: filename, purpose: purpose, mimeType: String(mimeType.prefix(200)), byteCount: byteCount,
            seconds: seconds, by: call.caller())
        return .document(Self.document(upload, nil))
    }

    func addPart(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let (id, by) = try call.of("upload")
        // Before its bytes are taken: an upload that is over takes none.
        _ = try await platform.uploads.show(id, by: by)
        let form = try await MultipartForm.read(call, fileField: "data", known: []) {
            try platform.files.begin(by: by)
        }
        guard let data = form.file else {
            throw MartletError(.invalidRequest, "'data' is missing; send it as a part of the form", param: "data")
        }
        let part = try await platform.uploads.addPart(data, to: id, by: by)
        return .document([
            "id": .string(part.id), "object": "upload.part", "created_at": JSON(part.createdAt),
            "upload_id": .string(part.uploadID),
        ])
    }

    func complete(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let (id, by) = try call.of("upload")
        var fields = try RequestFields(await call.json())
        guard let list = try fields.list("part_ids") else { throw fields.fault("part_ids", "is missing; add it") }
        guard list.count <= Self.partLimit else {
            throw fields.fault("part_ids", "has \(list.count) entries; send fewer and larger parts")
        }
        let partIDs = try list.enumerated().map { index, value in
            guard let text = value.string else {
                throw fields.fault("part_ids[\(index)]", "is \(value.kind) but must be a string; mend it")
            }
            return text
        }
        let md5 = try fields.string("md5")
        try fields.finish()
        let (upload, file) = try await platform.uploads.complete(id, partIDs: partIDs, md5: md5, by: by)
        return .document(Self.document(upload, file))
    }

    static func document(_ upload: UploadInfo, _ file: FileInfo?) -> JSON {
        [
            "id": .string(upload.id), "object": "upload", "bytes": JSON(upload.byteCount),
            "created_at": JSON(upload.createdAt), "expires_at": JSON(upload.expiresAt),
            "filename": .string(upload.filename), "purpose": .string(upload.purpose.rawValue),
            "status": .string(upload.status.rawValue), "file": file.map(OpenAIFiles.document) ?? .null,
        ]
    }
}
