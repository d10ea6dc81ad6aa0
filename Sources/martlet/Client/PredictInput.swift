import Foundation
import MartletWire

/// What `predict` sends, and the form in which its answer is printed.
struct PredictInput {
    enum Form: Equatable { case csv, json, jsonLines, table }
    var body: Data
    var contentType: String
    var form: Form

    /// By the first bytes, then by the name's ending. Throws `invalidData` with the place of the fault.
    static func read(_ bytes: Data, name: String) throws -> PredictInput {
        guard !bytes.isEmpty else { throw MartletError(.invalidData, "\(name): there is nothing in it; give rows") }
        if let type = fileType(bytes) { return PredictInput(body: bytes, contentType: type, form: .table) }
        guard let text = String(data: bytes, encoding: .utf8) else {
            throw MartletError(.invalidData, "\(name): neither an image nor UTF-8 text; give CSV, JSON or an image")
        }
        let ending = (name as NSString).pathExtension.lowercased()
        if ["png", "jpg", "jpeg"].contains(ending) {
            throw MartletError(.invalidData, "\(name): it is not an image, whatever its name says; give a PNG or JPEG")
        }
        let trimmed = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        if ["csv", "tsv"].contains(ending) || !(trimmed.hasPrefix("{") || trimmed.hasPrefix("[")) {
            let rows = try CSVRows.read(String(trimmed), name: name, delimiter: ending == "tsv" ? "\t" : nil)
            return try rowsInput(rows, form: .csv)
        }
        if ["jsonl", "ndjson"].contains(ending) { return try lines(text, name: name) }
        guard let value = try? JSONParser.parse(String(trimmed)) else {
            // JSON lines need no telling name.
            return try lines(text, name: name)
        }
        switch value {
        case .object(let object) where object["rows"] != nil:
            return PredictInput(body: value.data, contentType: "application/json", form: .json)
        case .object: return try rowsInput([value], form: .json)
        case .array(let rows): return try rowsInput(rows, form: .json)
        default: throw MartletError(.invalidData, "\(name): \(value.kind); give an object, a list of them or CSV")
        }
    }

    private static func lines(_ text: String, name: String) throws -> PredictInput {
        var rows: [JSON] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.trimmingCharacters(in: .whitespaces)
            if line.isEmpty { continue }
            do {
                rows.append(try JSONParser.parse(line))
            } catch let error as MartletError {
                throw MartletError(.invalidData, "\(name), line \(index + 1): \(error.message)")
            }
        }
        return try rowsInput(rows, form: .jsonLines)
    }

    private static func rowsInput(_ rows: [JSON], form: Form) throws -> PredictInput {
        PredictInput(body: JSON.object(["rows": .array(rows)]).data, contentType: "application/json", form: form)
    }

    /// The media type of an image or sound by its magic number.
    private static func fileType(_ bytes: Data) -> String? {
        let start = Array(bytes.prefix(12))
        if start.starts(with: [0x89, 0x50, 0x4E, 0x47]) { return "image/png" }
        if start.starts(with: [0xFF, 0xD8, 0xFF]) { return "image/jpeg" }
        if start.starts(with: Array("RIFF".utf8)), start.count == 12, Array(start[8...]) == Array("WAVE".utf8) {
            return "audio/wav"
        }
        return nil
    }
}

/// Rows of a CSV (RFC 4180) with a header, as objects; cells stay text, the model's preprocessing reads them.
enum CSVRows {
    static func read(_ text: String, name: String, delimiter: Character?) throws -> [JSON] {
        let records = split(text, delimiter: delimiter ?? guess(text))
        guard let header = records.first, records.count > 1 else {
            throw MartletError(.invalidData, "\(name): a CSV needs a line of column names and at least one row")
        }
        return try records.dropFirst().enumerated().map { index, cells in
            guard cells.count == header.count else {
                throw MartletError(
                    .invalidData,
                    "\(name), row \(index + 1): \(cells.count) cells where the header has \(header.count); mend the row"
                )
            }
            return .object(JSONObject(zip(header, cells).map { ($0, $1.isEmpty ? .null : .string($1)) }))
        }
    }

    /// The delimiter that stands most often in the first line.
    private static func guess(_ text: String) -> Character {
        let line = text.prefix { !$0.isNewline }
        let candidates: [Character] = [",", ";", "\t", "|"]
        return candidates.max { a, b in line.count { $0 == a } < line.count { $0 == b } } ?? ","
    }

    private static func split(_ text: String, delimiter: Character) -> [[String]] {
        var records: [[String]] = [], cells: [String] = [], cell = ""
        var isQuoted = false, wasQuote = false
        for character in text {
            if isQuoted {
                if wasQuote {
                    wasQuote = false
                    if character == "\"" {
                        cell.append("\"")
                        continue
                    }
                    isQuoted = false
                } else if character == "\"" {
                    wasQuote = true
                    continue
                } else {
                    cell.append(character)
                    continue
                }
            }
            if character == "\"", cell.isEmpty {
                isQuoted = true
            } else if character == delimiter {
                cells.append(cell)
                cell = ""
            } else if character.isNewline {
                if !(cells.isEmpty && cell.isEmpty) { records.append(cells + [cell]) }
                (cells, cell) = ([], "")
            } else {
                cell.append(character)
            }
        }
        if !(cells.isEmpty && cell.isEmpty) { records.append(cells + [cell]) }
        return records
    }
}
