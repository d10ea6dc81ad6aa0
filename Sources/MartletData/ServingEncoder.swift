import Foundation
import MartletWire

/// The inputs of a saved preprocessing, ready for requests. Immutable, so any number of requests may use it at once.
///
/// Unchecked because the cleaner's and the encoders' byte tables are only read; each call works on its own copy.
final class ServingEncoder: @unchecked Sendable {
    private let columns: [String]
    private let kinds: [FittedFeature.Kind]
    private let cleaner: Cleaner
    private let encoders: [FeatureEncoder]
    private let numbers: NumberFormat
    private let missing: Set<String>

    init(_ preprocessing: Preprocessing) throws {
        var columns: [String] = []
        var kinds: [FittedFeature.Kind] = []
        for feature in preprocessing.inputs {
            for column in feature.columns where !columns.contains(column) {
                columns.append(column)
                kinds.append(feature.kind)
            }
        }
        self.columns = columns
        self.kinds = kinds
        let place: (String) throws -> Int = { name in
            guard let index = columns.firstIndex(of: name) else {
                throw MartletError(.internal, "the saved preprocessing lacks its column '\(name)'; train again")
            }
            return index
        }
        cleaner = try Cleaner(preprocessing.cleaning, columns: columns, isServing: true, place: place)
        encoders = try preprocessing.encoders(role: .input, place: place)
        numbers = preprocessing.numbers
        missing = Set(preprocessing.missing)
    }

    func place(_ column: String) -> Int { columns.firstIndex(of: column) ?? 0 }

    /// Rows of raw values as the model's inputs (all, or those named in `only`). `what` names a row in messages.
    func encode(count: Int, only: Set<String>? = nil, what: (Int) -> String, fill: (Int, Row, Arena) throws -> Void)
        throws -> FeatureBatch
    {
        let encoders = encoders.filter { only?.contains($0.feature.name) ?? true }
        let buffers = encoders.map { encoder in
            UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count * encoder.layout.byteCount), alignment: 16)
        }
        defer { for buffer in buffers { buffer.deallocate() } }
        var cleaner = cleaner
        let row = Row()
        row.numbers = numbers
        for index in 0..<count {
            let arena = Arena()
            row.file = what(index)
            row.cells = Array(repeating: .missing, count: columns.count)
            try fill(index, row, arena)
            _ = try cleaner.apply(to: row)
            for (encoder, buffer) in zip(encoders, buffers) {
                guard let base = buffer.baseAddress else { continue }
                try encoder.encode(row, into: base + index * encoder.layout.byteCount)
            }
            withExtendedLifetime(arena) {}
        }
        return FeatureBatch(
            count: count,
            features: zip(encoders, buffers).map { encoder, buffer in
                let layout = encoder.layout
                let raw = UnsafeRawBufferPointer(rebasing: buffer[..<(count * layout.byteCount)])
                let values: FeatureValues =
                    switch layout.storage {
                    case .float32: .floats(Array(raw.bindMemory(to: Float.self)))
                    case .int64: .ints(Array(raw.bindMemory(to: Int64.self)))
                    case .uint8: .bytes(Array(raw))
                    }
                return (layout, values)
            })
    }

    func encode(rows: [JSONObject]) throws -> FeatureBatch {
        try encode(count: rows.count, what: { "row \($0 + 1)" }) { index, row, arena in
            for (place, column) in columns.enumerated() {
                guard let value = rows[index][column] else {
                    if cleaner.fills(place) { continue }
                    throw MartletError(
                        .invalidRequest,
                        "row \(index + 1) has no value for '\(column)'; the model needs "
                            + columns.prefix(20).map { "'\($0)'" }.joined(separator: ", "), param: column)
                }
                row.cells[place] = try cell(value, column, place, row, arena)
            }
        }
    }

    private func cell(_ value: JSON, _ column: String, _ place: Int, _ row: Row, _ arena: Arena) throws -> Cell {
        switch value {
        case .object(let object) where kinds[place] == .image:
            guard let text = object["b64"]?.string else {
                throw MartletError(
                    .invalidRequest,
                    "\(row.file), column '\(column)': the image must be {\"b64\": \"…\"}; give it in base64",
                    param: column)
            }
            return try image(text, column, row, arena)
        case .string(let text) where kinds[place] == .image: return try image(text, column, row, arena)
        default:
            guard kinds[place] != .image else {
                throw MartletError(
                    .invalidRequest,
                    "\(row.file), column '\(column)': an image must be a string in base64, not \(value.kind)",
                    param: column)
            }
            return JSONCell.cell(value, missing: missing, arena)
        }
    }

    private func image(_ text: String, _ column: String, _ row: Row, _ arena: Arena) throws -> Cell {
        // A data URL names its type before the comma.
        let body =
            text.hasPrefix("data:")
            ? text[(text.firstIndex(of: ",").map { text.index(after: $0) } ?? text.startIndex)...] : text[...]
        guard let data = Data(base64Encoded: String(body), options: .ignoreUnknownCharacters), !data.isEmpty else {
            throw MartletError(
                .invalidRequest,
                "\(row.file), column '\(column)': the image is not base64; encode the PNG or JPEG file",
                param: column)
        }
        return arena.cell(.encodedImage, data)
    }

    /// Files as the values of the only column, which must hold images.
    func encode(images: [[UInt8]]) throws -> FeatureBatch {
        guard columns.count == 1, kinds == [.image] else {
            throw MartletError(
                .invalidRequest,
                "the model reads \(columns.map { "'\($0)'" }.joined(separator: ", ")), not one image; give rows")
        }
        return try encode(count: images.count, what: { "file \($0 + 1)" }) { index, row, arena in
            row.cells[0] = arena.cell(.encodedImage, images[index])
        }
    }
}

/// JSON values as cells.
enum JSONCell {
    static func cell(_ value: JSON, missing: Set<String>, _ arena: Arena) -> Cell {
        switch value {
        case .null: return .missing
        case .bool(let value): return arena.cell(.text, Array((value ? "true" : "false").utf8))
        case .int(let value): return arena.cell(.plainNumber, Array(String(value).utf8))
        case .double(let value): return arena.number(value)
        case .string(let text):
            return text.isEmpty || missing.contains(text) ? .missing : arena.cell(.text, Array(text.utf8))
        case .array, .object: return arena.cell(.json, Array(value.serialized().utf8))
        }
    }
}

extension Cleaner {
    /// Whether a missing value at this place gets one.
    func fills(_ place: Int) -> Bool {
        steps.contains {
            guard case .fill(let names, let with) = $0.step, with != .forward else { return false }
            return names.isEmpty || names.contains(columnName(place))
        }
    }
}

extension Preprocessing {
    /// Raw rows as the model's inputs, encoded as training encoded them; images as base64 strings or `{"b64": "…"}`.
    /// Columns that the model does not read are ignored. Throws `invalidRequest` or `invalidData` that names row,
    /// column, value and remedy.
    public func encode(rows: [JSONObject]) throws -> FeatureBatch { try serving.encode(rows: rows) }

    /// PNG or JPEG files as the model's inputs, where it has one image input and nothing else.
    public func encodeImages(_ files: [[UInt8]]) throws -> FeatureBatch { try serving.encode(images: files) }
}
