import Foundation
import MartletWire

/// Learns one feature from the training rows: means, ranges, labels, vocabularies, sizes.
final class FeatureFitter {
    private var feature: FittedFeature
    private let places: [Int]
    private let vocabularySize: Int
    private let tokenizer: Tokenizer?
    private var moments: [Moments]
    private var table = ByteTable()
    private var counts: [Int] = []
    private var rowCount = 0
    private var booleans = [0, 0]
    /// Whether anything is to be learnt; pixels that stay bytes need one row only.
    private let fixedSize: Bool

    init(_ feature: FittedFeature, vocabularySize: Int, fixedSize: Bool = false, place: (String) throws -> Int) throws {
        self.feature = feature
        self.vocabularySize = vocabularySize
        self.fixedSize = fixedSize
        places = try feature.columns.map(place)
        tokenizer = feature.tokenizer.map { Tokenizer(kind: $0) }
        let count = feature.kind == .vector ? places.count : feature.kind == .datetime ? DateParts.count : 1
        moments = Array(repeating: Moments(), count: count)
    }

    /// Memory that one feature's distinct labels or tokens may take.
    private static let tableBytes = 512 << 20

    func add(_ row: Row) throws {
        rowCount += 1
        switch feature.kind {
        case .number: try number(row, 0)
        case .vector: try vector(row)
        case .boolean:
            if let value = BooleanWords.parse(row.cells[places[0]].bytes) { booleans[value ? 1 : 0] += 1 }
        case .category:
            let cell = row.cells[places[0]]
            if !cell.isMissing { count(cell.bytes) }
        case .text, .sequence:
            let cell = row.cells[places[0]]
            if !cell.isMissing {
                tokenizer?.forEach(cell) {
                    count($0)
                    return true
                }
            }
        case .datetime:
            if let date = DateParts(row.cells[places[0]].bytes) {
                for (index, value) in date.values.enumerated() { moments[index].add(value) }
            }
        case .image: try image(row)
        }
        if table.byteCount > Self.tableBytes {
            throw MartletError(
                .tooLarge,
                "column '\(feature.columns[0])' has more than \(table.count) different values, too many for "
                    + "type: \(feature.kind.rawValue); is it a number or an identifier?", param: feature.columns[0])
        }
    }

    private func count(_ bytes: UnsafeBufferPointer<UInt8>) {
        let index = table.insert(bytes)
        if index == counts.count { counts.append(1) } else { counts[index] += 1 }
    }

    private func number(_ row: Row, _ index: Int) throws {
        let cell = row.cells[places[index]]
        guard let value = cell.number(row.numbers) else {
            if cell.isMissing { return }
            throw row.fault(
                feature.columns[index], cell, "is not a number", remedy: "set type: text or mend the file")
        }
        moments[index].add(feature.normalization == .log ? log1p(max(value, -0.999_999)) : value)
    }

    private func vector(_ row: Row) throws {
        let cell = row.cells[places[0]]
        if places.count > 1 {
            for index in places.indices { try number(row, index) }
            return
        }
        let values = try VectorCell.values(row, cell, feature.columns[0])
        if rowCount == 1 { moments = Array(repeating: Moments(), count: values.count) }
        guard values.count == moments.count else {
            throw row.fault(
                feature.columns[0], cell, "has \(values.count) numbers where the first row has \(moments.count)",
                remedy: "mend the row")
        }
        for (index, value) in values.enumerated() {
            moments[index].add(feature.normalization == .log ? log1p(max(value, -0.999_999)) : value)
        }
    }

    private func image(_ row: Row) throws {
        let cell = row.cells[places[0]]
        if cell.isMissing { return }
        let needsPixels = feature.normalization == .zscore
        if rowCount > 1, fixedSize || feature.height > 0, !needsPixels { return }
        if feature.height == 0 || feature.channels == 0 {
            let own = try ImageEncoder.size(row, cell, feature.columns[0])
            if feature.height == 0 { (feature.height, feature.width) = (own.height, own.width) }
            if feature.channels == 0 { feature.channels = own.channels }
            moments = Array(repeating: Moments(), count: feature.channels)
        }
        guard needsPixels else { return }
        if moments.count != feature.channels { moments = Array(repeating: Moments(), count: feature.channels) }
        let image = try ImageEncoder.pixels(row, cell, feature.columns[0], channels: feature.channels)
        for (index, byte) in image.bytes.enumerated() { moments[index % feature.channels].add(Double(byte)) }
    }

    /// What was learnt. Throws `invalidData` where the training split cannot make a model.
    func finish() throws -> FittedFeature {
        switch feature.kind {
        case .number, .vector, .datetime:
            if feature.kind == .vector {
                feature.length = moments.count
                guard feature.length > 0 else {
                    throw MartletError(
                        .invalidData, "column '\(feature.columns[0])' holds empty lists; give lists of numbers",
                        param: feature.columns[0])
                }
            }
            setScales()
        case .image:
            guard feature.height > 0, feature.channels > 0 else {
                throw MartletError(.invalidData, "column '\(feature.columns[0])' has no image; check data.source")
            }
            if moments.count != feature.channels { moments = Array(repeating: Moments(), count: feature.channels) }
            if feature.normalization != .zscore { moments = moments.map { _ in Moments() } }
            setScales()
        case .boolean: feature.counts = booleans
        case .category: setCategories()
        case .text, .sequence:
            setVocabulary()
            guard feature.role == .input || !feature.categories.isEmpty else {
                throw MartletError(
                    .invalidData,
                    "column '\(feature.columns[0])' has no label in any training row; give rows with labels",
                    param: feature.columns[0])
            }
        }
        return feature
    }

    private func setScales() {
        feature.offset = moments.map {
            feature.normalization == .zscore
                ? $0.mean : feature.normalization == .minmax && feature.kind != .image ? $0.low : 0
        }
        feature.scale = moments.map {
            let scale =
                feature.normalization == .zscore
                ? $0.deviation : feature.normalization == .minmax ? $0.high - $0.low : 1
            return scale > 0 && scale.isFinite ? scale : 1
        }
        if feature.keepsBytes { feature.scale = feature.scale.map { _ in 255 } }
        feature.offset = feature.offset.map { $0.isFinite ? $0 : 0 }
    }

    /// Numbers in their order, everything else by its bytes. An input keeps the most frequent ones.
    private func setCategories() {
        var labels = (0..<table.count).map { (label: table[$0], count: counts[$0]) }
        if feature.role == .input, labels.count > vocabularySize {
            labels.sort { ($1.count, $0.label) < ($0.count, $1.label) }
            labels.removeLast(labels.count - vocabularySize)
        }
        let numbers = labels.map { NumberFormat.plain.parse($0.label) }
        if numbers.allSatisfy({ $0 != nil }) {
            let order = labels.indices.sorted {
                (numbers[$0] ?? 0, labels[$0].label) < (numbers[$1] ?? 0, labels[$1].label)
            }
            labels = order.map { labels[$0] }
        } else {
            labels.sort { $0.label.utf8.lexicographicallyPrecedes($1.label.utf8) }
        }
        feature.categories = labels.map(\.label)
        if feature.role == .target { feature.counts = labels.map(\.count) }
    }

    private func setVocabulary() {
        var tokens = (0..<table.count).map { (index: $0, count: counts[$0]) }
        if feature.role == .input {
            tokens.sort { $0.count != $1.count ? $0.count > $1.count : $0.index < $1.index }
            feature.categories = tokens.prefix(vocabularySize).map { table[$0.index] }
        } else {
            feature.categories = tokens.map { table[$0.index] }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            feature.counts = feature.categories.map { counts[table.find($0) ?? 0] }
        }
    }
}

/// Count, mean, deviation and range in one pass (Welford 1962).
struct Moments {
    private(set) var count = 0
    private(set) var mean = 0.0
    private var squares = 0.0
    private(set) var low = Double.infinity
    private(set) var high = -Double.infinity

    @inline(__always)
    mutating func add(_ value: Double) {
        count += 1
        let delta = value - mean
        // The difference of two finite numbers may be past the range of a double.
        mean += delta.isFinite ? delta / Double(count) : value / Double(count) - mean / Double(count)
        squares += delta * (value - mean)
        low = min(low, value)
        high = max(high, value)
    }

    /// Of the population, as scikit-learn's StandardScaler takes it.
    var deviation: Double { count > 0 ? (squares / Double(count)).squareRoot() : 0 }
}
