import Foundation
import MartletWire

/// Writes one feature of a row as the model reads it: the one code path of training and serving.
final class FeatureEncoder {
    let feature: FittedFeature
    let layout: FeatureLayout
    /// Writes the first label in place of one that was not learnt: for rows that are checked and then thrown away.
    var allowsUnseenLabels = false
    /// Where the columns stand in a row's cells.
    private let places: [Int]
    private let indices: ByteTable
    private let tokenizer: Tokenizer?
    /// A sequence target has one label for each token of this input.
    private let partner: (place: Int, tokenizer: Tokenizer)?

    init(_ feature: FittedFeature, place: (String) throws -> Int, partner: FittedFeature? = nil) throws {
        self.feature = feature
        layout = feature.layout
        places = try feature.columns.map(place)
        var table = ByteTable()
        for category in feature.categories { _ = table.insert(category) }
        indices = table
        tokenizer = feature.tokenizer.map { Tokenizer(kind: $0) }
        self.partner = try partner.flatMap { input in
            guard feature.role == .target, feature.kind == .sequence, let kind = input.tokenizer else { return nil }
            return (try place(input.columns[0]), Tokenizer(kind: kind))
        }
    }

    private var remedyForMissing: String {
        "add drop_missing or fill to data.clean, or give a value"
    }

    /// Writes `layout.byteCount` bytes. Throws `invalidData` that names file, line, column and value.
    func encode(_ row: Row, into out: UnsafeMutableRawPointer) throws {
        switch feature.kind {
        case .number: out.storeBytes(of: try number(row, places[0], feature.columns[0], 0), as: Float.self)
        case .boolean: out.storeBytes(of: try boolean(row) ? 1 : 0, as: Float.self)
        case .category: out.storeBytes(of: try category(row), as: Int64.self)
        case .vector: try vector(row, out)
        case .datetime: try datetime(row, out)
        case .text, .sequence: try tokens(row, out)
        case .image: try ImageEncoder.encode(feature, row, row.cells[places[0]], into: out)
        }
    }

    @inline(__always)
    private func store(_ value: Float, _ out: UnsafeMutableRawPointer, _ index: Int) {
        out.storeBytes(of: value, toByteOffset: index * 4, as: Float.self)
    }

    private func number(_ row: Row, _ place: Int, _ column: String, _ index: Int) throws -> Float {
        let cell = row.cells[place]
        guard let value = cell.number(row.numbers) else {
            if cell.isMissing { throw row.missing(column, remedy: remedyForMissing) }
            throw row.fault(column, cell, "is not a number", remedy: "set type: text or mend the file")
        }
        return try normalized(value, index, row, column, cell)
    }

    /// What the model sees of a number, which is finite.
    @inline(__always)
    private func normalized(_ value: Double, _ index: Int, _ row: Row, _ column: String, _ cell: Cell) throws -> Float {
        guard feature.normalization != .log || value > -1 else {
            throw row.fault(
                column, cell, "has no logarithm ln(1 + x)", remedy: "set normalize: zscore or mend the file")
        }
        let seen = feature.normalized(value, index)
        guard seen.isFinite else {
            throw row.fault(
                column, cell, "is too large for the model's 32 bits", remedy: "set normalize: log or mend the file")
        }
        return seen
    }

    private func boolean(_ row: Row) throws -> Bool {
        let cell = row.cells[places[0]]
        if cell.isMissing { throw row.missing(feature.columns[0], remedy: remedyForMissing) }
        guard let value = BooleanWords.parse(cell.bytes) else {
            throw row.fault(
                feature.columns[0], cell, "is neither true nor false", remedy: "set type: category or mend the file")
        }
        return value
    }

    private func category(_ row: Row) throws -> Int64 {
        let cell = row.cells[places[0]]
        let index = cell.isMissing ? nil : indices.find(cell.bytes)
        if feature.role == .input { return Int64(index.map { $0 + 1 } ?? 0) }
        if let index { return Int64(index) }
        if cell.isMissing { throw row.missing(feature.columns[0], remedy: remedyForMissing) }
        if allowsUnseenLabels { return 0 }
        throw row.fault(
            feature.columns[0], cell, "is a label that the training rows do not have",
            remedy:
                "add rows of it to the training split, set data.split.stratify: \(feature.columns[0]), or remove the row"
        )
    }

    private func vector(_ row: Row, _ out: UnsafeMutableRawPointer) throws {
        if places.count > 1 || feature.length == 1 && row.cells[places[0]].kind != .json {
            for index in places.indices {
                store(try number(row, places[index], feature.columns[index], index), out, index)
            }
            return
        }
        let column = feature.columns[0]
        let cell = row.cells[places[0]]
        let values = try VectorCell.values(row, cell, column)
        guard values.count == feature.length else {
            throw row.fault(
                column, cell, "has \(values.count) numbers where the others have \(feature.length)",
                remedy: "mend the row")
        }
        for (index, value) in values.enumerated() {
            store(try normalized(value, index, row, column, cell), out, index)
        }
    }

    private func datetime(_ row: Row, _ out: UnsafeMutableRawPointer) throws {
        let cell = row.cells[places[0]]
        if cell.isMissing { throw row.missing(feature.columns[0], remedy: remedyForMissing) }
        guard let date = DateParts(cell.bytes) else {
            throw row.fault(feature.columns[0], cell, "is not a date", remedy: "write it as 2024-03-01 09:05:00")
        }
        for (index, value) in date.values.enumerated() { store(feature.normalized(value, index), out, index) }
    }

    private func tokens(_ row: Row, _ out: UnsafeMutableRawPointer) throws {
        let cell = row.cells[places[0]]
        if cell.isMissing { throw row.missing(feature.columns[0], remedy: remedyForMissing) }
        let isTarget = feature.role == .target
        var count = 0
        var unseen: String?
        tokenizer?.forEach(cell) { token in
            // A target's length is checked against its input's, so it is counted to the end.
            guard count < feature.length else {
                count += 1
                return isTarget
            }
            let index = indices.find(token)
            if isTarget, index == nil { unseen = unseen ?? String(decoding: token, as: UTF8.self) }
            let value = isTarget ? Int64(index ?? 0) : Int64(index.map { $0 + 2 } ?? 1)
            out.storeBytes(of: value, toByteOffset: count * 8, as: Int64.self)
            count += 1
            return true
        }
        if let unseen, !allowsUnseenLabels {
            throw row.fault(
                feature.columns[0], cell, "has the label '\(unseen)', which the training rows do not have",
                remedy: "add rows of it to the training split, or remove the row")
        }
        if let partner {
            let expected = partner.tokenizer.count(row.cells[partner.place])
            guard expected == count else {
                throw row.fault(
                    feature.columns[0], cell, "has \(count) labels where its input has \(expected) tokens",
                    remedy: "give one label for each token")
            }
        }
        for index in min(count, feature.length)..<feature.length {
            out.storeBytes(of: isTarget ? paddingLabel : 0, toByteOffset: index * 8, as: Int64.self)
        }
    }

    /// Whether this row's text is longer than the model reads.
    func isCut(_ row: Row) -> Bool {
        guard let tokenizer else { return false }
        return tokenizer.count(row.cells[places[0]]) > feature.length
    }
}

/// A cell that holds a list of numbers: `[1, 2, 3]`, `[1;2;3]` or `1 2 3`.
enum VectorCell {
    static func values(_ row: Row, _ cell: Cell, _ column: String) throws -> [Double] {
        if cell.isMissing { throw row.missing(column, remedy: "give a list of numbers") }
        var values: [Double] = []
        let bytes = cell.bytes
        var position = 0
        let isJSON = cell.kind == .json
        func isSeparator(_ byte: UInt8) -> Bool {
            byte <= 0x20 || byte == 0x5B || byte == 0x5D || byte == 0x3B
                || (byte == 0x2C && (isJSON || row.numbers.decimal != 0x2C))
        }
        while position < bytes.count {
            while position < bytes.count, isSeparator(bytes[position]) { position += 1 }
            let start = position
            while position < bytes.count, !isSeparator(bytes[position]) { position += 1 }
            guard position > start else { break }
            let part = UnsafeBufferPointer(rebasing: bytes[start..<position])
            guard let value = (isJSON ? .plain : row.numbers).parse(part) else {
                throw row.fault(column, cell, "is not a list of numbers", remedy: "write it as [1, 2, 3]")
            }
            values.append(value)
        }
        return values
    }
}
