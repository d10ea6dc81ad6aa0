import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// The tensors of a folder: `model.safetensors`, or the files that `model.safetensors.index.json` names.
///
/// All headers are checked when it is made, and nothing is read but them.
public final class WeightFiles {
    static let indexName = "model.safetensors.index.json"

    /// The names of the files in the folder, in order.
    public let fileNames: [String]
    /// Whether an index names the files.
    let isIndexed: Bool
    private let files: [SafeTensors]
    private let fileByTensor: [String: Int]

    /// - Throws: `MartletError` that names the file and what is wrong with it.
    public convenience init(folder: URL) throws {
        let present = { (name: String) in FileManager.default.fileExists(atPath: folder.appending(path: name).path) }
        if present(WeightFiles.indexName) {
            let index = try WeightFiles.index(folder.appending(path: WeightFiles.indexName))
            let names = Set(index.values).sorted()
            for name in names where !present(name) {
                throw MartletError(
                    .invalidData, "\(WeightFiles.indexName) names the file '\(name)', which is not in the folder")
            }
            try self.init(folder: folder, fileNames: names, isIndexed: true)
            for (tensor, name) in index where fileByTensor[tensor].map({ fileNames[$0] }) != name {
                throw MartletError(
                    .invalidData, "model.safetensors.index.json looks for '\(tensor)' in '\(name)'; it is not there")
            }
        } else if present("model.safetensors") {
            try self.init(folder: folder, fileNames: ["model.safetensors"])
        } else {
            throw WeightFiles.missing(in: folder)
        }
    }

    init(folder: URL, fileNames: [String], isIndexed: Bool = false) throws {
        self.isIndexed = isIndexed
        self.fileNames = fileNames
        files = try fileNames.map { try SafeTensors(path: folder.appending(path: $0).path) }
        var found: [String: Int] = [:]
        for (index, file) in files.enumerated() {
            for name in file.names where found.updateValue(index, forKey: name) != nil {
                throw MartletError(.invalidData, "the tensor '\(name)' is in two files, '\(fileNames[index])' is one")
            }
        }
        fileByTensor = found
    }

    /// The names of all tensors, sorted.
    public var names: [String] { fileByTensor.keys.sorted() }

    public func entry(_ name: String) -> SafeTensors.Entry? { fileByTensor[name].flatMap { files[$0].entry(name) } }

    /// Reads one tensor into fresh memory, in the type that the file has.
    public func tensor(_ name: String, device: Device = .cpu) throws -> Tensor {
        guard let index = fileByTensor[name] else {
            throw MartletError(.notFound, "the tensor '\(name)' is missing from the weights")
        }
        return try files[index].tensor(name, device: device)
    }

    /// Reads one tensor's numbers as float32, without a tensor: any thread will do.
    /// - Throws: `MartletError` where there is none of that name, it is of another type than float32, float16 or
    ///   bfloat16, or the file was cut.
    public func floats(_ name: String) throws -> [Float] {
        guard let index = fileByTensor[name], let entry = files[index].entry(name) else {
            throw MartletError(.notFound, "the tensor '\(name)' is missing from the weights")
        }
        func read<Element>(_ zero: Element) throws -> [Element] {
            var elements = Array(repeating: zero, count: entry.range.count / MemoryLayout<Element>.size)
            try elements.withUnsafeMutableBytes { try files[index].read(entry, into: $0) }
            return elements
        }
        switch entry.type {
        case .float32: return try read(Float(0))
        case .float16: return try read(UInt16(0)).map { Float(Float16(bitPattern: $0)) }
        case .bfloat16: return try read(UInt16(0)).map { Float(bitPattern: UInt32($0) << 16) }
        default:
            throw MartletError(
                .unsupportedFormat, "the tensor '\(name)' is of \(entry.type.rawValue); float32 or 16 bits are read")
        }
    }

    /// How many bytes of elements the files hold.
    public var byteCount: Int {
        files.reduce(0) { $0 + ($1.entries.last?.range.upperBound ?? 0) }
    }

    /// The types of the tensors by their number of elements, the commonest first.
    public var types: [ScalarType] {
        var counts: [ScalarType: Int] = [:]
        for file in files {
            for entry in file.entries { counts[entry.type, default: 0] += entry.range.count / entry.type.size }
        }
        return counts.sorted { ($1.value, $0.key.rawValue) < ($0.value, $1.key.rawValue) }.map(\.key)
    }

    private static func index(_ url: URL) throws -> [String: String] {
        let json = try ModelFolder.json(url, limit: SafeTensors.headerLimit)
        guard let map = json["weight_map"]?.object, map.count > 0 else {
            throw MartletError(.invalidData, "model.safetensors.index.json has no 'weight_map'")
        }
        var found: [String: String] = [:]
        for (tensor, value) in map {
            guard let name = value.string, isPlain(name), name.hasSuffix(".safetensors") else {
                throw MartletError(
                    .invalidData,
                    "model.safetensors.index.json gives '\(tensor)' the file \(value.serialized().prefix(80)); "
                        + "it must name a .safetensors file of the same folder")
            }
            found[tensor] = name
        }
        return found
    }

    /// Whether a name is that of a file in the folder itself.
    static func isPlain(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && name.utf8.count <= 255
            && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 }
    }

    private static func missing(in folder: URL) -> MartletError {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        let endings = [".bin", ".pt", ".pth", ".pkl", ".ckpt", ".h5", ".msgpack", ".onnx"]
        if let other = names.sorted().first(where: { name in endings.contains { name.hasSuffix($0) } }) {
            return MartletError(
                .unsupportedFormat,
                "the weights in '\(other)' are not in the safetensors format, the only one that is read beside GGUF; "
                    + "save the model with safetensors first")
        }
        return MartletError(.notFound, "the folder has neither model.safetensors nor model.safetensors.index.json")
    }
}
