import Foundation
import Hummingbird
import MartletPlatform
import MartletWire

/// `/v1/files`.
struct OpenAIFiles {
    let platform: Platform

    func create(_ call: Call) async throws -> Response {
        try call.checkQuery()
        let by = try call.caller()
        let form = try await MultipartForm.read(
            call, fileField: "file", known: ["purpose", "expires_after[anchor]", "expires_after[seconds]"]
        ) { try platform.files.begin(by: by) }
        guard let file = form.file, let filename = form.filename else {
            throw MartletError(
                .invalidRequest, "'file' is missing; send the file as a part of the form", param: "file")
        }
        guard let purpose = form.fields["purpose"] else {
            throw MartletError(.invalidRequest, "'purpose' is missing; add it", param: "purpose")
        }
        let made = try await platform.files.create(
            file, filename: filename, purpose: Self.purpose(purpose), seconds: Self.seconds(form.fields), by: by)
        return .document(Self.document(made))
    }

    func list(_ call: Call) async throws -> Response {
        try call.checkQuery("after", "limit", "order", "purpose")
        let page = try await platform.files.list(
            purpose: call.query("purpose").map(Self.purpose), after: call.query("after"),
            limit: call.queryNumber("limit", in: 1...10_000) ?? 10_000,
            isNewestFirst: call.isNewestFirst(otherwise: true), by: call.caller())
        return .list(page.data.map { ($0.id, Self.document($0)) }, hasMore: page.hasMore)
    }

    /// Throws `invalidRequest` for a word that is no purpose.
    static func purpose(_ text: String) throws -> FilePurpose {
        if let purpose = FilePurpose(rawValue: text) { return purpose }
        let known = FilePurpose.allCases.filter(\.isUploaded).map(\.rawValue).joined(separator: ", ")
        throw MartletError(
            .invalidRequest, "'purpose' is '\(text.prefix(60))'; use one of \(known)", param: "purpose")
    }

    /// `expires_after[anchor]` and `[seconds]` of a form.
    private static func seconds(_ fields: [String: String]) throws -> Int? {
        let (anchor, seconds) = (fields["expires_after[anchor]"], fields["expires_after[seconds]"])
        if anchor == nil, seconds == nil { return nil }
        var object: JSONObject = [:]
        object["anchor"] = anchor.map { .string($0) }
        object["seconds"] = seconds.map { text in Int(text).map { JSON($0) } ?? .string(text) }
        return try self.seconds(.object(object))
    }

    /// `{anchor, seconds}` of the field `name`; nil where it is left out.
    static func seconds(_ value: JSON?, _ name: String = "expires_after") throws -> Int? {
        guard let value else { return nil }
        var fields = try RequestFields(value, path: name)
        guard try fields.choice("anchor", ["created_at"]) != nil else {
            throw fields.fault("anchor", "is missing; use created_at")
        }
        guard let seconds = try fields.int("seconds", FileService.secondsRange) else {
            throw fields.fault("seconds", "is missing; add it")
        }
        try fields.finish()
        return seconds
    }

    static func document(_ file: FileInfo) -> JSON {
        var object: JSONObject = [
            "id": .string(file.id), "object": "file", "bytes": JSON(file.byteCount),
            "created_at": JSON(file.createdAt), "expires_at": file.expiresAt.map { JSON($0) } ?? .null,
            "filename": .string(file.filename), "purpose": .string(file.purpose.rawValue), "status": "processed",
            "status_details": .null,
        ]
        object["dataset"] = file.dataset.map { .string($0) }
        return .object(object)
    }
}

extension JSON {
    /// Whole Unix seconds.
    init(_ date: Date) { self.init(Int(date.timeIntervalSince1970)) }
}

extension Response {
    /// A page of documents by their ids.
    static func list(_ items: [(id: String, document: JSON)], hasMore: Bool) -> Response {
        .document([
            "object": "list", "data": .array(items.map(\.document)),
            "first_id": items.first.map { .string($0.id) } ?? .null,
            "last_id": items.last.map { .string($0.id) } ?? .null, "has_more": .bool(hasMore),
        ])
    }
}
