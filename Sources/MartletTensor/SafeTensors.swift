import Foundation
import MartletWire

/// A file in the safetensors format: a length, a JSON header, and the elements of named tensors.
///
/// Everything that the header claims is checked against the file before anything is allocated for it: names are
/// unique, ranges follow one another without hole or overlap to the end of the file, and shape · type is each range's
/// length. Source: the format's description in huggingface/safetensors.
public final class SafeTensors {
    /// Where a tensor lies in the file's data, and what it is.
    public struct Entry: Sendable, Equatable {
        public let name: String
        public let type: ScalarType
        public let shape: [Int]
        /// Bytes from the start of the data.
        public let range: Range<Int>
    }

    /// The longest header that is read, the limit of the format's own implementation.
    public static let headerLimit = 100_000_000

    /// The tensors in the order of their data.
    public let entries: [Entry]
    /// The header's `__metadata__`.
    public let metadata: [String: String]

    private let file: FileHandle
    private let dataStart: Int
    private let byName: [String: Entry]

    /// Opens a file and checks all of its header.
    /// - Throws: `MartletError` with `notFound` or `invalidData`.
    public init(path: String) throws {
        let name = (path as NSString).lastPathComponent
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MartletError(.notFound, "the tensor file '\(name)' does not exist or cannot be read")
        }
        self.file = file
        do {
            let size = Int(try file.seekToEnd())
            try file.seek(toOffset: 0)
            guard size >= 8, let prefix = try file.read(upToCount: 8), prefix.count == 8 else {
                throw MartletError(.invalidData, "\(size) bytes are too few for a header")
            }
            let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard length <= UInt64(SafeTensors.headerLimit) else {
                throw MartletError(
                    .invalidData, "a header of \(length) bytes is more than the \(SafeTensors.headerLimit) allowed")
            }
            guard length >= 2, Int(length) <= size - 8 else {
                throw MartletError(.invalidData, "a header of \(length) bytes does not fit a file of \(size)")
            }
            dataStart = 8 + Int(length)
            guard let header = try file.read(upToCount: Int(length)), header.count == Int(length) else {
                throw MartletError(.invalidData, "the header cannot be read to its end")
            }
            let parsed = try SafeTensorsHeader.parse([UInt8](header))
            entries = try SafeTensors.ordered(parsed.entries, dataCount: size - dataStart)
            metadata = parsed.metadata
            byName = Dictionary(entries.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        } catch let error as MartletError {
            throw MartletError(error.code, "'\(name)' is not a valid safetensors file: \(error.message)")
        }
    }

    public var names: [String] { entries.map(\.name) }

    public func entry(_ name: String) -> Entry? { byName[name] }

    /// Reads one tensor into fresh memory.
    /// - Throws: `MartletError` where there is none of that name or the file has become shorter.
    public func tensor(_ name: String, device: Device = .cpu) throws -> Tensor {
        guard let entry = byName[name] else {
            throw MartletError(.notFound, "the tensor '\(name)' is not in the file, which has \(entries.count) others")
        }
        let tensor = try Tensor.empty(entry.shape, type: entry.type)
        try tensor.withUnsafeMutableBytes { try read(entry, into: $0) }
        return try tensor.to(device)
    }

    /// Reads a tensor's bytes as they lie in the file; needs no tensor and any thread will do.
    /// - Throws: `MartletError` where `target` has another length or the file has become shorter.
    public func read(_ entry: Entry, into target: UnsafeMutableRawBufferPointer) throws {
        guard target.count == entry.range.count else {
            throw MartletError(.internal, "\(target.count) bytes are not the \(entry.range.count) of '\(entry.name)'")
        }
        var done = 0
        while done < target.count {
            let part = UnsafeMutableRawBufferPointer(rebasing: target[done...])
            let count = pread(
                file.fileDescriptor, part.baseAddress, part.count, off_t(dataStart + entry.range.lowerBound + done))
            guard count > 0 else {
                throw MartletError(
                    .invalidData, "the tensor '\(entry.name)' ends early: the file was cut while it was read")
            }
            done += count
        }
    }

    /// All tensors by name, in the order of their data.
    public func tensors(device: Device = .cpu) throws -> [(String, Tensor)] {
        try entries.map { ($0.name, try tensor($0.name, device: device)) }
    }

    /// Checks that the ranges tile the data.
    private static func ordered(_ entries: [Entry], dataCount: Int) throws -> [Entry] {
        let sorted = entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        var end = 0
        for entry in sorted {
            guard entry.range.lowerBound == end else {
                let fault = entry.range.lowerBound < end ? "overlaps the tensor before it" : "leaves a hole before it"
                throw MartletError(
                    .invalidData, "the tensor '\(entry.name)' starts at \(entry.range.lowerBound) and \(fault)")
            }
            guard entry.range.upperBound <= dataCount else {
                throw MartletError(
                    .invalidData,
                    "the tensor '\(entry.name)' ends at \(entry.range.upperBound), but the data has \(dataCount) bytes")
            }
            end = entry.range.upperBound
        }
        guard end == dataCount else {
            throw MartletError(.invalidData, "\(dataCount - end) bytes after the last tensor belong to none")
        }
        return sorted
    }
}

extension SafeTensors {
    /// Writes tensors so that the same ones give the same bytes: longer element types first, then by name, as the
    /// format's own implementation does. The file is on the disk when this returns.
    /// - Throws: `MartletError` where a name is given twice or the disk is full.
    public static func write(_ tensors: [(String, Tensor)], metadata: [String: String] = [:], to path: String) throws {
        let planned = tensors.map { Planned(name: $0.0, type: $0.1.scalarType, shape: $0.1.shape) }
        try write(planned, metadata: metadata, to: path) { tensors[$0].1 }
    }

    /// A tensor that is to be written.
    public struct Planned: Sendable {
        public let name: String
        public let type: ScalarType
        public let shape: [Int]

        public init(name: String, type: ScalarType, shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }
    }

    /// The same, with one tensor at a time in memory: `tensor` makes each when it is its turn, by its index.
    public static func write(
        _ planned: [Planned], metadata: [String: String] = [:], to path: String, _ tensor: (Int) throws -> Tensor
    ) throws {
        let order = planned.indices.sorted { first, second in
            let (a, b) = (planned[first].type.size, planned[second].type.size)
            return a != b ? a > b : planned[first].name.utf8.lexicographicallyPrecedes(planned[second].name.utf8)
        }
        let header = try SafeTensorsHeader.encode(
            order.map { index in
                let item = planned[index]
                return (
                    item.name, item.type, item.shape,
                    try Tensor.checkedCount(item.shape, type: item.type) * item.type.size
                )
            }, metadata: metadata)
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure(path) }
        defer { close(descriptor) }
        try header.withUnsafeBytes { try write($0, to: descriptor, path) }
        for index in order {
            let made = try tensor(index)
            guard made.shape == planned[index].shape, made.scalarType == planned[index].type else {
                throw MartletError(.internal, "the tensor '\(planned[index].name)' is \(made), not as it was planned")
            }
            try made.withUnsafeBytes { try write($0, to: descriptor, path) }
        }
        guard fsync(descriptor) == 0 else { throw failure(path) }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, _ path: String) throws {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            #if canImport(Darwin)
                let count = Darwin.write(descriptor, rest.baseAddress, rest.count)
            #else
                let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            #endif
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(path) }
            done += count
        }
    }

    private static func failure(_ path: String) -> MartletError {
        let number = errno
        let name = (path as NSString).lastPathComponent
        switch number {
        case ENOSPC, EDQUOT:
            return MartletError(
                .storageFull, "the disk is full; '\(name)' could not be written: make room and try again")
        case EIO:
            return MartletError(
                .storageFull, "the disk reports an input/output error; '\(name)' could not be written: check the disk")
        default: return MartletError(.internal, "'\(name)' could not be written: \(String(cString: strerror(number)))")
        }
    }
}
