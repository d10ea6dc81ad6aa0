import Foundation
import MartletWire

/// What an uploaded file is called: to its user, in a tree, and as a dataset.
enum FileName {
    /// The last component of a client's name. Throws `invalidRequest`.
    static func check(_ given: String) throws -> String {
        let last = given.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last.map(String.init) ?? ""
        guard (1...255).contains(last.utf8.count) else {
            throw MartletError(
                .invalidRequest, "the file's name must have 1 to 255 bytes; rename it", param: "filename")
        }
        guard !last.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            throw MartletError(
                .invalidRequest, "the file's name has a control character; rename the file", param: "filename")
        }
        return last.precomposedStringWithCanonicalMapping
    }

    /// A name for the file inside its tree; data that names no format is JSON lines.
    static func path(_ filename: String, _ purpose: FilePurpose) -> String {
        let safe = slug(filename, limit: 200)
        guard purpose.isData, !formats.contains(where: { safe.lowercased().hasSuffix($0) }) else { return safe }
        return safe + ".jsonl"
    }

    private static let formats = [".jsonl", ".json", ".csv", ".tsv", ".ndjson"]

    /// A dataset's name: the file's without its format.
    static func dataset(_ filename: String) -> String {
        let format = formats.first { filename.lowercased().hasSuffix($0) } ?? ""
        return slug(String(filename.dropLast(format.count)), limit: 128)
    }

    /// `text` with what cannot stand in a name as `-`; never empty, `.` or `..`.
    static func slug(_ text: String, limit: Int) -> String {
        var slug = ""
        for scalar in text.precomposedStringWithCanonicalMapping.unicodeScalars.prefix(limit) {
            let allowed = (try? Name.check("x" + String(Character(scalar)), what: "file")) != nil
            let next = allowed ? String(Character(scalar)) : "-"
            guard slug.utf8.count + next.utf8.count <= limit else { break }
            slug += next
        }
        return slug.allSatisfy({ $0 == "." || $0 == "-" }) ? "data" : slug
    }

    /// The media type that a download is given.
    static func contentType(_ filename: String) -> String {
        switch (filename as NSString).pathExtension.lowercased() {
        case "jsonl", "ndjson": "application/jsonl"
        case "json": "application/json"
        case "csv": "text/csv; charset=utf-8"
        case "txt", "md": "text/plain; charset=utf-8"
        case "pdf": "application/pdf"
        case "png": "image/png"
        case "jpg", "jpeg": "image/jpeg"
        case "gif": "image/gif"
        case "webp": "image/webp"
        default: "application/octet-stream"
        }
    }
}
