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
    private let places: [String: Place]

    /// Where a tensor is: in which file, and as what.
    private struct Place {
        var file: Int
        var entry: SafeTensors.Entry
    }

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
            for (tensor, name) in index where places[tensor].map({ fileNames[$0.file] }) != name {
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
        var found: [String: Place] = [:]
        for (index, file) in files.enumerated() {
            for entry in file.entries
            where found.updateValue(Place(file: index, entry: entry), forKey: entry.name) != nil {
                throw MartletError(
                    .invalidData, "the tensor '\(entry.name)' is in two files, '\(fileNames[index])' is one")
            }
        }
        places = found
    }

    private init(_ whole: WeightFiles, _ places: [String: Place]) {
        (fileNames, isIndexed, files) = (whole.fileNames, whole.isIndexed, whole.files)
        self.places = places
    }

    /// The same files, with the tensors under the names that `name` gives them, and without those that it gives none.
    func renamed(_ name: (String) -> String?) throws -> WeightFiles {
        var found: [String: Place] = [:]
        for (stored, place) in places {
            guard let name = name(stored) else { continue }
            if let other = found.updateValue(place, forKey: name) {
                throw MartletError(
                    .invalidData,
                    "the tensors '\(min(stored, other.entry.name))' and '\(max(stored, other.entry.name))' are both '\(name)'"
                )
            }
        }
        return WeightFiles(self, found)
    }

    /// The names of all tensors, sorted.
    public var names: [String] { places.keys.sorted() }

    /// What a tensor is; its own name is the one in the file.
    public func entry(_ name: String) -> SafeTensors.Entry? { places[name]?.entry }

    /// Reads one tensor into fresh memory, in the type that the file has.
    public func tensor(_ name: String, device: Device = .cpu) throws -> Tensor {
        guard let place = places[name] else { throw Self.missing(name) }
        return try files[place.file].tensor(place.entry.name, device: device)
    }

    /// Reads one tensor's numbers as float32, without a tensor: any thread will do.
    /// - Throws: `MartletError` where there is none of that name, it is of another type than float32, float16 or
    ///   bfloat16, or the file was cut.
    public func floats(_ name: String) throws -> [Float] {
        guard let entry = entry(name) else { throw Self.missing(name) }
        return try [Float](unsafeUninitializedCapacity: entry.range.count / entry.type.size) { buffer, count in
            count = entry.range.count / entry.type.size
            try read(name, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        }
    }

    /// The same into memory that is there.
    func read(_ name: String, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard let place = places[name] else { throw Self.missing(name) }
        let entry = place.entry
        guard entry.range.count == target.count * entry.type.size else {
            throw MartletError(.internal, "'\(name)' does not have \(target.count) numbers")
        }
        let file = files[place.file]
        switch entry.type {
        case .float32: try file.read(entry, into: UnsafeMutableRawBufferPointer(target))
        case .float16, .bfloat16:
            // The 16 bits come into the upper half of the place and are widened from its start: none is overwritten
            // before it was read.
            let bytes = UnsafeMutableRawBufferPointer(target)
            let half = UnsafeMutableRawBufferPointer(rebasing: bytes[(bytes.count / 2)...])
            try file.read(entry, into: half)
            if entry.type == .float16 {
                for index in target.indices {
                    target[index] = Self.widened(half.load(fromByteOffset: 2 * index, as: UInt16.self))
                }
            } else {
                for index in target.indices {
                    let bits = half.load(fromByteOffset: 2 * index, as: UInt16.self)
                    target[index] = Float(bitPattern: UInt32(bits) << 16)
                }
            }
        default:
            throw MartletError(
                .unsupportedFormat, "the tensor '\(name)' is of \(entry.type.rawValue); float32 or 16 bits are read")
        }
    }

    /// The number of 16 bits, without the processor's own conversion, which not every one has.
    private static func widened(_ half: UInt16) -> Float {
        let (sign, magnitude) = (UInt32(half & 0x8000) << 16, UInt32(half & 0x7FFF))
        let scaled = Float(bitPattern: magnitude << 13) * 0x1p112
        let infinite: UInt32 = magnitude >= 0x7C00 ? 0x7F80_0000 : 0
        return Float(bitPattern: scaled.bitPattern | infinite | sign)
    }

    private static func missing(_ name: String) -> MartletError {
        MartletError(.notFound, "the tensor '\(name)' is missing from the weights")
    }

    /// How many bytes of elements the tensors have.
    public var byteCount: Int { places.values.reduce(0) { $0 + $1.entry.range.count } }

    /// The types of the tensors by their number of elements, the commonest first.
    public var types: [ScalarType] {
        var counts: [ScalarType: Int] = [:]
        for place in places.values {
            counts[place.entry.type, default: 0] += place.entry.range.count / place.entry.type.size
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
        if let file = names.sorted().first(where: { $0.lowercased().hasSuffix(".gguf") }) {
            return MartletError(
                .unsupportedFormat, "the folder has no .safetensors file; to import '\(file)' name the file itself")
        }
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
