import MartletStore
import MartletWire

/// Reads a batch's input file line by line: what each line asks is checked before any of them runs.
struct BatchReader {
    let endpoint: String
    let lineByteLimit: Int

    static let lineLimit = 50_000
    static let byteLimit = 200_000_000
    private static let faultLimit = 100
    private static let customIDByteLimit = 512
    private static let pageCount = 1000

    struct Findings: Sendable {
        var lineCount = 0
        var faults: [StoredBatch.Fault] = []
        /// The model, where all lines name the same.
        var model: String?
    }

    /// `keep` gets the good lines, some at a time. Reading ends early at a hundred faults.
    func read(_ file: LineFile, keep: ([StoredBatchLine]) async throws -> Void) async throws -> Findings {
        var findings = Findings()
        var seen: Set<String> = []
        var models: Set<String> = []
        var page: [StoredBatchLine] = []
        try await file.forEachLine(byteLimit: lineByteLimit) { line in
            guard !line.isBlank else { return true }
            findings.lineCount += 1
            guard findings.lineCount <= Self.lineLimit else {
                findings.faults = [
                    .init(
                        code: "too_many_tasks", line: nil,
                        message: "the file has more than \(Self.lineLimit) requests; cut it into several batches",
                        param: nil)
                ]
                return false
            }
            switch check(line, &seen) {
            case .success(let (customID, model)):
                if let model, models.count < 2 { models.insert(model) }
                page.append(
                    StoredBatchLine(
                        line: line.number, customID: customID, place: line.place, byteCount: line.byteCount))
            case .failure(let fault): findings.faults.append(fault.value)
            }
            if page.count >= Self.pageCount, findings.faults.isEmpty {
                try Task.checkCancellation()
                try await keep(page)
                page = []
            }
            return findings.faults.count < Self.faultLimit
        }
        if findings.lineCount == 0 {
            findings.faults = [
                .init(code: "empty_file", line: nil, message: "the file has no requests; add some", param: nil)
            ]
        }
        if findings.faults.isEmpty, !page.isEmpty { try await keep(page) }
        if models.count == 1 { findings.model = models.first }
        return findings
    }

    private struct Refusal: Error { var value: StoredBatch.Fault }

    private func check(
        _ line: LineFile.Line, _ seen: inout Set<String>
    ) -> Result<(customID: String, model: String?), Refusal> {
        func refused(
            _ code: String, _ message: String, _ param: String? = nil
        ) -> Result<(customID: String, model: String?), Refusal> {
            .failure(Refusal(value: .init(code: code, line: line.number, message: message, param: param)))
        }
        guard let bytes = line.bytes else {
            return refused(
                "line_too_long", "the line has \(line.byteCount) bytes; a request has at most \(lineByteLimit)")
        }
        let value: JSON
        do {
            value = try JSONParser.parse(bytes)
        } catch {
            return refused("invalid_json_line", "the line is not valid JSON: \(error)")
        }
        guard value.object != nil else {
            return refused("invalid_json_line", "the line is \(value.kind); write a JSON object")
        }
        guard let customID = value["custom_id"]?.string, (1...Self.customIDByteLimit).contains(customID.utf8.count)
        else {
            return refused(
                "missing_required_parameter",
                "'custom_id' must be a text of 1 to \(Self.customIDByteLimit) bytes; add it", "custom_id")
        }
        guard seen.insert(customID).inserted else {
            return refused(
                "duplicate_custom_id", "the custom_id '\(customID.prefix(80))' came before; give each line its own",
                "custom_id")
        }
        guard value["method"] == "POST" else {
            return refused("invalid_method", "'method' must be POST; mend it", "method")
        }
        guard value["url"] == .string(endpoint) else {
            return refused("mismatched_url", "'url' must be the batch's endpoint, \(endpoint); mend it", "url")
        }
        guard let body = value["body"], body.object != nil else {
            return refused("missing_required_parameter", "'body' must be the request, an object; add it", "body")
        }
        guard body["stream"]?.bool != true else {
            return refused("invalid_body", "a batch's answers are whole; leave out 'stream'", "body.stream")
        }
        for key in value.object?.keys ?? [] where !["custom_id", "method", "url", "body"].contains(key) {
            return refused(
                "unknown_parameter", "'\(key.prefix(60))' is not known here; leave it out", String(key.prefix(60)))
        }
        return .success((customID, body["model"]?.string))
    }
}
