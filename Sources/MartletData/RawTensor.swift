import MartletWire

/// A tensor of raw values, as the Open Inference Protocol carries it.
public struct RawTensor: Sendable, Equatable {
    public enum Values: Sendable, Equatable {
        case floats([Float])
        case ints([Int64])
        case bytes([UInt8])
        case bools([Bool])
        /// BYTES: one byte string an element.
        case strings([[UInt8]])

        public var count: Int {
            switch self {
            case .floats(let values): values.count
            case .ints(let values): values.count
            case .bytes(let values): values.count
            case .bools(let values): values.count
            case .strings(let values): values.count
            }
        }

        /// The protocol's word: FP32, INT64, UINT8, BOOL, BYTES.
        public var datatype: String {
            switch self {
            case .floats: "FP32"
            case .ints: "INT64"
            case .bytes: "UINT8"
            case .bools: "BOOL"
            case .strings: "BYTES"
            }
        }
    }

    /// With the batch first.
    public var shape: [Int]
    public var values: Values

    public init(shape: [Int], values: Values) {
        self.shape = shape
        self.values = values
    }

    public var datatype: String { values.datatype }
}

extension Preprocessing {
    /// Raw tensors by input name as the model's inputs: an image as FP32 of 0…1 or UINT8 of 0…255 in [n, C, H, W] (or
    /// any shape of as many values a row), a number as FP32 [n], a vector as FP32 [n, k], a boolean as BOOL [n], the
    /// others as BYTES [n]. Throws `invalidRequest` that names the tensor and what was expected.
    public func encode(tensors: [String: RawTensor]) throws -> FeatureBatch {
        let inputs = inputs
        for name in tensors.keys.sorted() where !inputs.contains(where: { $0.name == name }) {
            let known = inputs.map { "'\($0.name)'" }.joined(separator: ", ")
            throw MartletError(
                .invalidRequest, "the model has no input '\(name)'; it has \(known)", param: name)
        }
        let missing = inputs.map(\.name).filter { tensors[$0] == nil }
        if let first = missing.first {
            let names = missing.map { "'\($0)'" }.joined(separator: ", ")
            let what = missing.count == 1 ? "input \(names) is" : "inputs \(names) are"
            throw MartletError(.invalidRequest, "the \(what) missing; give every input", param: first)
        }
        var count: Int?
        var checked: [(feature: FittedFeature, tensor: RawTensor)] = []
        for feature in inputs {
            guard let tensor = tensors[feature.name] else { continue }
            let rows = try TensorCheck.rows(feature, tensor)
            if let count, count != rows {
                throw MartletError(
                    .invalidRequest,
                    "the input '\(feature.name)' has \(rows) rows where another has \(count); give every input as many",
                    param: feature.name)
            }
            count = rows
            checked.append((feature, tensor))
        }
        return try serving.encode(tensors: checked, count: count ?? 0, isCleaned: !cleaning.isEmpty)
    }

    /// Answers as tensors: what `predictions` gives, under the names and types of `signature.outputs`.
    public func outputTensors(scores: [String: [Float]], count: Int) throws -> [(name: String, tensor: RawTensor)] {
        var out: [(name: String, tensor: RawTensor)] = []
        for target in targets {
            let values = try checkedScores(target, scores, count)
            let width = count > 0 ? values.count / count : 0
            let name = target.name
            func row(_ index: Int) -> ArraySlice<Float> { values[(index * width)..<((index + 1) * width)] }
            switch target.kind {
            case .category:
                var labels: [[UInt8]] = []
                var probabilities: [Float] = []
                probabilities.reserveCapacity(values.count)
                for index in 0..<count {
                    let row = Probability.softmax(row(index))
                    labels.append(Array(target.categories[Probability.best(row)].utf8))
                    for value in row { probabilities.append(Float(value)) }
                }
                out.append((name, RawTensor(shape: [count], values: .strings(labels))))
                out.append((name + "_probabilities", RawTensor(shape: [count, width], values: .floats(probabilities))))
            case .boolean:
                let probabilities = values.map { Float(Probability.sigmoid($0)) }
                out.append((name, RawTensor(shape: [count], values: .bools(probabilities.map { $0 >= 0.5 }))))
                out.append((name + "_probability", RawTensor(shape: [count], values: .floats(probabilities))))
            case .vector:
                let restored = values.enumerated().map { Float(target.restored($1, $0 % max(1, width))) }
                out.append((name, RawTensor(shape: [count, width], values: .floats(restored))))
            case .sequence:
                let texts = try predictions(scores: scores, count: count).map {
                    Array(($0[name] ?? .null).serialized().utf8)
                }
                out.append((name, RawTensor(shape: [count], values: .strings(texts))))
            default:
                out.append(
                    (name, RawTensor(shape: [count], values: .floats(values.map { Float(target.restored($0, 0)) }))))
            }
        }
        return out
    }
}

/// What a tensor must be for a feature.
enum TensorCheck {
    /// The number of rows. Throws `invalidRequest` where type, shape and data do not agree.
    static func rows(_ feature: FittedFeature, _ tensor: RawTensor) throws -> Int {
        let name = feature.name
        func fault(_ problem: String) -> MartletError {
            MartletError(.invalidRequest, "the input '\(name)' \(problem)", param: name)
        }
        let width: Int
        let types: [String]
        switch feature.kind {
        case .image:
            width = feature.channels * feature.height * feature.width
            types = ["FP32", "UINT8"]
        case .vector:
            width = feature.length
            types = ["FP32", "INT64"]
        case .number:
            width = 1
            types = ["FP32", "INT64"]
        case .boolean:
            width = 1
            types = ["BOOL", "INT64", "FP32"]
        case .category:
            width = 1
            types = ["BYTES", "INT64"]
        case .text, .sequence, .datetime:
            width = 1
            types = ["BYTES"]
        }
        guard types.contains(tensor.datatype) else {
            throw fault("is \(tensor.datatype); send \(types.joined(separator: " or "))")
        }
        guard let rows = tensor.shape.first, tensor.shape.allSatisfy({ $0 >= 0 }) else {
            throw fault("has the shape \(tensor.shape); give the number of rows first")
        }
        var product = 1
        for size in tensor.shape.dropFirst() {
            let (next, overflow) = product.multipliedReportingOverflow(by: size)
            guard !overflow else { throw fault("has the shape \(tensor.shape), whose product is too large") }
            product = next
        }
        guard product == width else {
            throw fault(
                "has \(product) values a row where the model takes \(width); send the shape \(expected(feature, rows))")
        }
        let (total, overflow) = product.multipliedReportingOverflow(by: rows)
        guard !overflow, total == tensor.values.count else {
            throw fault(
                "has \(tensor.values.count) values where its shape \(tensor.shape) has \(overflow ? "too many" : String(total))"
            )
        }
        return rows
    }

    private static func expected(_ feature: FittedFeature, _ rows: Int) -> [Int] {
        switch feature.kind {
        case .image: [rows, feature.channels, feature.height, feature.width]
        case .vector: [rows, feature.length]
        default: [rows]
        }
    }
}

extension ServingEncoder {
    /// Images, and numbers that no cleaning step touches, go straight to the model's form; the rest goes as cells.
    func encode(
        tensors: [(feature: FittedFeature, tensor: RawTensor)], count: Int, isCleaned: Bool
    ) throws -> FeatureBatch {
        var direct: [String: (layout: FeatureLayout, values: FeatureValues)] = [:]
        for (feature, tensor) in tensors {
            switch feature.kind {
            case .image: direct[feature.name] = image(feature, tensor)
            case .number where !isCleaned, .vector where !isCleaned:
                direct[feature.name] = (feature.layout, .floats(try numbers(feature, tensor)))
            default: break
            }
        }
        let rest = tensors.filter { direct[$0.feature.name] == nil }
        let names = Set(rest.map(\.feature.name))
        let encoded =
            rest.isEmpty
            ? nil
            : try encode(count: count, only: names, what: { "row \($0 + 1)" }) { index, row, arena in
                for (feature, tensor) in rest { try fill(row, feature, tensor, index, arena) }
            }
        return FeatureBatch(
            count: count,
            features: tensors.compactMap { item in
                direct[item.feature.name] ?? encoded?.features.first { $0.layout.name == item.feature.name }
            })
    }

    private func image(_ feature: FittedFeature, _ tensor: RawTensor) -> (FeatureLayout, FeatureValues) {
        var layout = feature.layout
        let plane = max(1, feature.height * feature.width)
        switch tensor.values {
        case .bytes(let bytes):
            if feature.keepsBytes { return (layout, .bytes(bytes)) }
            let values = bytes.enumerated().map { feature.normalized(Double($1), $0 / plane % feature.channels) }
            return (layout, .floats(values))
        case .floats(let values):
            if feature.keepsBytes {
                // Already as the model sees it: 0…1.
                layout.storage = .float32
                return (layout, .floats(values))
            }
            return (
                layout,
                .floats(values.enumerated().map { feature.normalized(Double($1) * 255, $0 / plane % feature.channels) })
            )
        default: return (layout, .bytes([]))
        }
    }

    private func numbers(_ feature: FittedFeature, _ tensor: RawTensor) throws -> [Float] {
        let width = max(1, feature.layout.elementCount)
        var out: [Float] = []
        out.reserveCapacity(tensor.values.count)
        func add(_ value: Double) throws {
            let index = out.count
            let seen = feature.normalized(value, index % width)
            guard value.isFinite, seen.isFinite, feature.normalization != .log || value > -1 else {
                throw MartletError(
                    .invalidRequest,
                    "the input '\(feature.name)', row \(index / width + 1) has the value \(value), which the model cannot "
                        + "read; send a finite number\(feature.normalization == .log ? " above -1" : "")",
                    param: feature.name)
            }
            out.append(seen)
        }
        switch tensor.values {
        case .floats(let values): for value in values { try add(Double(value)) }
        case .ints(let values): for value in values { try add(Double(value)) }
        default: break
        }
        return out
    }

    private func fill(_ row: Row, _ feature: FittedFeature, _ tensor: RawTensor, _ index: Int, _ arena: Arena) throws {
        let width = tensor.values.count / max(1, tensor.shape[0])
        func cell(_ element: Int) -> Cell {
            switch tensor.values {
            case .floats(let values):
                feature.kind == .boolean
                    ? arena.cell(.text, Array((values[element] != 0 ? "true" : "false").utf8))
                    : values[element].isFinite ? arena.number(Double(values[element])) : .missing
            case .ints(let values): arena.cell(.plainNumber, Array(String(values[element]).utf8))
            case .bools(let values): arena.cell(.text, Array((values[element] ? "true" : "false").utf8))
            case .strings(let values): arena.cell(.text, values[element])
            case .bytes(let values): arena.cell(.plainNumber, Array(String(values[element]).utf8))
            }
        }
        if case .strings(let values) = tensor.values, !TextEncoding.isUTF8(values[index]) {
            throw MartletError(
                .invalidRequest, "the input '\(feature.name)', row \(index + 1) is not UTF-8; encode the text so",
                param: feature.name)
        }
        if feature.kind == .vector, feature.columns.count == 1, width > 1 {
            let numbers = (0..<width).map { cell(index * width + $0).string }.joined(separator: ",")
            row.cells[place(feature.columns[0])] = arena.cell(.json, Array("[\(numbers)]".utf8))
            return
        }
        for (offset, column) in feature.columns.enumerated() {
            row.cells[place(column)] = cell(index * width + offset)
        }
    }
}
