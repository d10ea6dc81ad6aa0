import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

/// A form with one file, read as it comes: the file goes to disk, the fields stay in memory. Any order is taken.
struct MultipartForm {
    /// A field's name to its value; the first of a kind counts, and a second is refused.
    private(set) var fields: [String: String] = [:]
    private(set) var filename: String?
    private(set) var file: IncomingFile?

    private static let fieldCountLimit = 64
    private static let fieldByteLimit = 64 << 10

    /// Reads the body; `fileField` is where the file stands, `known` are the other fields, and `begin` makes a place.
    ///
    /// Throws `unsupportedFormat` for a body that is no form, `invalidRequest`, `tooLarge`. Nothing is left behind then.
    static func read(
        _ call: Call, fileField: String, known: [String], begin: @escaping () throws -> IncomingFile
    ) async throws -> MultipartForm {
        let type = call.header(.contentType) ?? ""
        guard let media = MultipartHeader.parameters(type), media.value == "multipart/form-data" else {
            throw MartletError(
                .unsupportedFormat,
                "the body is '\(type.prefix(60))'; send multipart/form-data with the file in the field '\(fileField)'",
                param: "Content-Type")
        }
        guard let boundary = media.parameters["boundary"] else {
            throw MartletError(
                .invalidRequest, "the Content-Type has no boundary; let your client make the form",
                param: "Content-Type")
        }
        var form = MultipartForm()
        var parser = try MultipartParser(boundary: boundary)
        var reader = PartReader(fileField: fileField, known: known, begin: begin)
        for try await chunk in try UploadBody(call, extraBytes: ServerLimits.formBytes) {
            try chunk.withUnsafeReadableBytes { bytes in
                try parser.feed(bytes) { event in try reader.take(event, into: &form) }
            }
        }
        try parser.finish()
        return form
    }

    /// Puts the parts where they belong.
    private struct PartReader {
        let fileField: String
        let known: [String]
        let begin: () throws -> IncomingFile
        private var part: MultipartHeader?
        private var value: [UInt8] = []
        private var partCount = 0

        init(fileField: String, known: [String], begin: @escaping () throws -> IncomingFile) {
            self.fileField = fileField
            self.known = known
            self.begin = begin
        }

        mutating func take(_ event: MultipartParser.Event, into form: inout MultipartForm) throws {
            switch event {
            case .part(let header): try start(header, &form)
            case .data(let bytes):
                if part?.name == fileField {
                    try form.file?.append(bytes)
                } else {
                    guard value.count + bytes.count <= MultipartForm.fieldByteLimit else {
                        throw MartletError(
                            .tooLarge, "a field of the form has more than \(MultipartForm.fieldByteLimit) bytes",
                            param: part?.name)
                    }
                    value += bytes
                }
            case .partEnd:
                guard let part, part.name != fileField else { return }
                guard let text = String(validating: value, as: UTF8.self) else {
                    throw MartletError(.invalidRequest, "the field '\(part.name)' is not UTF-8", param: part.name)
                }
                form.fields[part.name] = text
            }
        }

        private mutating func start(_ header: MultipartHeader, _ form: inout MultipartForm) throws {
            part = header
            value = []
            partCount += 1
            let shown = header.name.prefix(60)
            guard partCount <= MultipartForm.fieldCountLimit else {
                throw MartletError(.invalidRequest, "the form has more than \(MultipartForm.fieldCountLimit) parts")
            }
            if header.name == fileField {
                guard form.file == nil else {
                    throw MartletError(
                        .invalidRequest, "the form has two files; send one at a time", param: String(shown))
                }
                guard let filename = header.filename else {
                    throw MartletError(
                        .invalidRequest, "'\(shown)' is a text and must be a file; give it a file name",
                        param: String(shown))
                }
                form.filename = filename
                form.file = try begin()
                return
            }
            guard known.contains(header.name) else {
                let near = (known + [fileField]).min {
                    Nearest.distance($0, header.name) < Nearest.distance($1, header.name)
                }
                let hint = near.map { Nearest.distance($0, header.name) <= 2 ? " (did you mean '\($0)'?)" : "" } ?? ""
                throw MartletError(
                    .invalidRequest, "unknown field '\(shown)'\(hint); leave it out", param: String(shown))
            }
            guard form.fields[header.name] == nil else {
                throw MartletError(.invalidRequest, "the field '\(shown)' stands twice", param: String(shown))
            }
        }
    }
}
