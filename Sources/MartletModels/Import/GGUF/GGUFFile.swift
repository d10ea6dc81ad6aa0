import Foundation
import MartletTensor
import MartletWire

/// A file in the GGUF format of llama.cpp, version 2 or 3: metadata, and tensors in blocks of several formats.
///
/// All that the head claims is checked against the file before anything is allocated for it.
final class GGUFFile {
    struct Entry: Sendable {
        let name: String
        let format: GGUFBlockFormat
        /// Rows first, as elsewhere here; the file has the innermost first.
        let shape: [Int]
        let range: Range<Int>
    }

    let metadata: [String: GGUFValue]
    let entries: [String: Entry]
    private let file: FileHandle

    static let magic: [UInt8] = Array("GGUF".utf8)

    /// Whether a file starts as this format does.
    static func isOne(_ url: URL) -> Bool {
        guard let file = FileHandle(forReadingAtPath: url.path), let start = try? file.read(upToCount: 4) else {
            return false
        }
        return [UInt8](start) == magic
    }

    init(_ url: URL) throws {
        guard let file = FileHandle(forReadingAtPath: url.path) else {
            throw MartletError(.notFound, "the file '\(url.lastPathComponent)' does not exist or cannot be read")
        }
        self.file = file
        do {
            var reader = try GGUFReader(file)
            guard try reader.bytes(4) == GGUFFile.magic else { throw GGUFReader.fault("it does not start with 'GGUF'") }
            let version = try reader.uint32()
            guard version == 2 || version == 3 else {
                throw MartletError(.unsupportedFormat, "its version is \(version); 2 and 3 are supported")
            }
            let tensorCount = try reader.count("the number of tensors", limit: 1 << 18)
            let pairCount = try reader.count("the number of metadata", limit: 1 << 16)
            var metadata: [String: GGUFValue] = [:]
            for _ in 0..<pairCount {
                let key = try reader.string()
                let type = try reader.type()
                guard metadata.updateValue(try reader.value(type), forKey: key) == nil else {
                    throw GGUFReader.fault("the key '\(key)' is given twice")
                }
            }
            self.metadata = metadata
            entries = try GGUFFile.entries(&reader, tensorCount, metadata["general.alignment"])
        } catch let error as MartletError {
            throw MartletError(
                error.code, "'\(url.lastPathComponent)' is not a valid GGUF file: \(error.message)")
        }
    }

    private struct Claim {
        var name: String
        var format: GGUFBlockFormat
        var shape: [Int]
        var offset: UInt64
    }

    private static func entries(
        _ reader: inout GGUFReader, _ count: Int, _ alignmentValue: GGUFValue?
    ) throws -> [String: Entry] {
        let alignment = alignmentValue.map { $0.int ?? 0 } ?? 32
        guard alignment > 0, alignment <= 1 << 20, alignment & (alignment - 1) == 0 else {
            throw GGUFReader.fault("the alignment \(alignment) is no power of two")
        }
        let claims = try (0..<count).map { _ in try claim(&reader) }
        let start = (reader.position + alignment - 1) / alignment * alignment
        var found: [String: Entry] = [:]
        for claim in claims {
            let elements: Int
            do { elements = try Tensor.checkedCount(claim.shape) } catch {
                throw GGUFReader.fault("the tensor '\(claim.name)' has a shape too large: \(claim.shape)")
            }
            let (count, block) = (claim.shape.last ?? 1, claim.format.elements)
            guard count % block == 0 else {
                throw GGUFReader.fault("the tensor '\(claim.name)' has rows of \(count), no multiple of \(block)")
            }
            guard claim.offset % UInt64(alignment) == 0 else {
                throw GGUFReader.fault("the tensor '\(claim.name)' at \(claim.offset) is not aligned to \(alignment)")
            }
            let (length, overflow) = (elements / block).multipliedReportingOverflow(by: claim.format.bytes)
            let room = reader.size - start
            guard !overflow, room >= 0, claim.offset <= UInt64(room), length <= room - Int(claim.offset) else {
                throw GGUFReader.fault("the tensor '\(claim.name)' lies past the file's end")
            }
            let lower = start + Int(claim.offset)
            let entry = Entry(
                name: claim.name, format: claim.format, shape: claim.shape, range: lower..<lower + length)
            guard found.updateValue(entry, forKey: claim.name) == nil else {
                throw GGUFReader.fault("the tensor '\(claim.name)' is given twice")
            }
        }
        let sorted = found.values.sorted { $0.range.lowerBound < $1.range.lowerBound }
        for (first, second) in zip(sorted, sorted.dropFirst()) where first.range.upperBound > second.range.lowerBound {
            throw GGUFReader.fault("the tensors '\(first.name)' and '\(second.name)' overlap")
        }
        return found
    }

    private static func claim(_ reader: inout GGUFReader) throws -> Claim {
        let name = try reader.string()
        let rank = try reader.uint32()
        guard rank >= 1, rank <= 4 else {
            throw GGUFReader.fault("the tensor '\(name)' has \(rank) dimensions; it can have 1 to 4")
        }
        let shape = try (0..<rank).map { _ in try reader.count("a dimension of '\(name)'", limit: 1 << 48) }
        guard shape.allSatisfy({ $0 > 0 }) else { throw GGUFReader.fault("the tensor '\(name)' is empty") }
        let number = try reader.uint32()
        guard let format = GGUFBlockFormat(rawValue: number) else {
            throw MartletError(
                .unsupportedFormat, "the tensor '\(name)' is of the type number \(number), which is not supported")
        }
        return Claim(name: name, format: format, shape: shape.reversed(), offset: try reader.uint64())
    }

    /// Reads one tensor as numbers: quantized blocks become float32, others keep their type.
    func tensor(_ entry: Entry) throws -> Tensor {
        let raw = [UInt8](unsafeUninitializedCapacity: entry.range.count) { buffer, filled in
            while filled < entry.range.count {
                let count = pread(
                    file.fileDescriptor, buffer.baseAddress.map { $0 + filled }, entry.range.count - filled,
                    off_t(entry.range.lowerBound + filled))
                if count <= 0 { break }
                filled += count
            }
        }
        guard raw.count == entry.range.count else {
            throw MartletError(
                .invalidData, "the tensor '\(entry.name)' ends early: the file was cut while it was read")
        }
        let tensor = try Tensor.empty(entry.shape, type: entry.format.storedType)
        try tensor.withUnsafeMutableBytes { target in
            try raw.withUnsafeBytes { try entry.format.decode($0, into: target) }
        }
        return tensor
    }
}
