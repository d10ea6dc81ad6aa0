import Foundation
import MartletData
import MartletModels
import MartletNN
import MartletTensor
import MartletWire

/// A model bundle in memory, ready to answer. Lives on the compute thread.
public final class LoadedModel {
    public let preprocessing: Preprocessing
    public let signature: Signature
    private let network: FeatureNetwork
    private let device: Device
    /// Rows of one pass of a large request, by what passes took.
    private var passRows = 64

    /// Loads a bundle's folder and does one real forward pass. Throws `invalidData` where the bundle is not whole.
    public init(bundle: String, device: Device) throws {
        self.device = device
        let configData = try Self.read(BundleFile.config, in: bundle)
        let config: NetworkConfig
        do {
            config = try JSONDecoder.wire.decode(NetworkConfig.self, from: configData)
        } catch let error as DecodingError {
            throw MartletError(.invalidData, "\(BundleFile.config) cannot be read: \(error.plainMessage)")
        }
        preprocessing = try Preprocessing.read(from: "\(bundle)/\(BundleFile.preprocessing)")
        signature = preprocessing.signature
        network = try FeatureNetwork(config)
        try network.load(SafeTensors(path: "\(bundle)/\(BundleFile.weights)").tensors())
        try network.setTrainable(false)
        try network.move(to: device)
        for item in network.parameters() where item.parameter.value.rank == 4 {
            // As the convolutions' kernels read them; see the encoder of images.
            item.parameter.value = try item.parameter.value.contiguous(.channelsLast)
        }
        for convolution in network.modules(of: Conv2d.self) { try convolution.pack() }
        try warmUp()
    }

    private static func read(_ name: String, in bundle: String) throws -> Data {
        guard let data = FileManager.default.contents(atPath: "\(bundle)/\(name)") else {
            throw MartletError(.invalidData, "the bundle has no \(name); export or train the model again")
        }
        return data
    }

    private func warmUp() throws {
        let features = preprocessing.inputs.map { input -> (layout: FeatureLayout, values: FeatureValues) in
            let layout = input.layout
            let count = layout.elementCount
            let values: FeatureValues =
                switch layout.storage {
                case .float32: .floats([Float](repeating: 0, count: count))
                case .int64: .ints([Int64](repeating: 0, count: count))
                case .uint8: .bytes([UInt8](repeating: 0, count: count))
                }
            return (layout, values)
        }
        _ = try scores(of: [FeatureBatch(count: 1, features: features)])
    }

    /// For each output its raw results, row by row. Several batches go through the model together; a large one alone
    /// goes in parts that take a part of a second each.
    /// - Parameter pause: called between two parts; it may end the work.
    public func scores(of batches: [FeatureBatch], pause: () throws -> Void = {}) throws -> [String: [Float]] {
        guard batches.count == 1, batches[0].count > passRows else { return try pass(batches) }
        var scores: [String: [Float]] = [:]
        var row = 0
        while row < batches[0].count {
            if row > 0 { try pause() }
            let rows = row..<min(row + passRows, batches[0].count)
            let begun = MonotonicTime.now
            for (name, values) in try pass([batches[0].part(rows)]) { scores[name, default: []] += values }
            let taken = MonotonicTime.now &- begun
            if taken < 100_000_000, rows.count == passRows { passRows = min(2 * passRows, 1 << 14) }
            if taken > 500_000_000 { passRows = max(1, passRows / 2) }
            row = rows.upperBound
        }
        return scores
    }

    /// One forward pass over the rows of all batches together.
    private func pass(_ batches: [FeatureBatch]) throws -> [String: [Float]] {
        let count = batches.reduce(0) { $0 + $1.count }
        return try Tensor.inference {
            var inputs: [Tensor] = []
            for index in preprocessing.inputs.indices {
                let layout = batches[0].features[index].layout
                let values = FeatureValues(joining: batches.map { $0.features[index].values })
                let tensor = try Tensor(values, layout: layout, rows: count, device: device)
                inputs.append(tensor)
            }
            let results = try network(inputs, .inference())
            var scores: [String: [Float]] = [:]
            for (output, result) in zip(network.config.outputs, results) {
                scores[output.name] = try result.array(of: Float.self)
            }
            return scores
        }
    }
}

extension FeatureBatch {
    /// Some of its rows.
    fileprivate func part(_ rows: Range<Int>) -> FeatureBatch {
        FeatureBatch(
            count: rows.count,
            features: features.map { layout, values in
                let width = values.count / max(1, count)
                return (layout, values.part(rows.lowerBound * width..<rows.upperBound * width))
            })
    }
}

extension FeatureValues {
    fileprivate func part(_ range: Range<Int>) -> FeatureValues {
        switch self {
        case .floats(let values): .floats(Array(values[range]))
        case .ints(let values): .ints(Array(values[range]))
        case .bytes(let values): .bytes(Array(values[range]))
        }
    }

    /// The values of several batches, one after another. Batches of one model store a feature the same way, but an
    /// image may come as bytes or as floats.
    fileprivate init(joining parts: [FeatureValues]) {
        if parts.count == 1 {
            self = parts[0]
            return
        }
        if parts.allSatisfy({ if case .bytes = $0 { true } else { false } }) {
            self = .bytes(parts.flatMap { part -> [UInt8] in if case .bytes(let values) = part { values } else { [] } })
        } else if parts.allSatisfy({ if case .ints = $0 { true } else { false } }) {
            self = .ints(parts.flatMap { part -> [Int64] in if case .ints(let values) = part { values } else { [] } })
        } else {
            var all: [Float] = []
            all.reserveCapacity(parts.reduce(0) { $0 + $1.count })
            for part in parts {
                switch part {
                case .floats(let values): all.append(contentsOf: values)
                case .bytes(let values): for value in values { all.append(Float(value) * (1 / 255)) }
                case .ints(let values): for value in values { all.append(Float(value)) }
                }
            }
            self = .floats(all)
        }
    }
}
