import Foundation
import MartletWire

/// Limits of every source that is made of lines.
enum TextLimits {
    static let rowBytes = 64 << 20
    static let columns = 100_000
}

/// Cuts a text into lines; memory is one line and a buffer.
package final class LineReader {
    private let stream: TextStream
    package let file: String
    private var buffer: UnsafeMutableBufferPointer<UInt8>
    private var position = 0
    private var limit = 0
    private var atEnd = false
    private(set) var isInLongLine = false
    private var isBroken = false
    /// The number of the last line given, counted from 1.
    package private(set) var line = 0

    package init(path: String, encoding: TextEncoding) throws {
        stream = try TextStream(path: path, encoding: encoding)
        file = (path as NSString).lastPathComponent
        buffer = .allocate(capacity: 1 << 20)
    }

    deinit { buffer.deallocate() }

    /// The next line without its end, which lives until the next call; nil at the end.
    package func next() throws -> UnsafeBufferPointer<UInt8>? {
        var searched = position
        while true {
            guard let base = buffer.baseAddress else { return nil }
            if let found = memchr(base + searched, 0x0A, limit - searched) {
                let end = base.distance(to: found.assumingMemoryBound(to: UInt8.self))
                return take(to: end, skipping: 1)
            }
            if atEnd { return position < limit ? take(to: limit, skipping: 0) : nil }
            searched = limit - position
            if position > 0 {
                memmove(base, base + position, limit - position)
                limit -= position
                position = 0
            }
            if limit == buffer.count { try grow() }
            let count = try read(into: limit)
            limit += count
        }
    }

    private func take(to end: Int, skipping: Int) -> UnsafeBufferPointer<UInt8> {
        line += 1
        var last = end
        if last > position, buffer[last - 1] == 0x0D { last -= 1 }
        defer { position = end + skipping }
        return UnsafeBufferPointer(rebasing: buffer[position..<last])
    }

    /// Passes over the rest of a line at which `next` threw because it is too long.
    /// - Returns: false where the file itself cannot be read on.
    package func skip() throws -> Bool {
        guard !isBroken else { return false }
        guard isInLongLine else { return true }
        isInLongLine = false
        line += 1
        while let base = buffer.baseAddress {
            (position, limit) = (0, 0)
            limit = try read(into: 0)
            if limit == 0 { return true }
            if let found = memchr(base, 0x0A, limit) {
                position = base.distance(to: found.assumingMemoryBound(to: UInt8.self)) + 1
                return true
            }
        }
        return false
    }

    /// Fills the buffer from a place on; 0 means the end.
    private func read(into place: Int) throws -> Int {
        isBroken = true
        let count = try stream.read(
            into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[place...]))
        isBroken = false
        atEnd = count == 0
        return count
    }

    /// How the line begins that is too long.
    package var longLineStart: String {
        String(decoding: UnsafeBufferPointer(rebasing: buffer[position..<min(limit, position + 81)]), as: UTF8.self)
    }

    private func grow() throws {
        guard buffer.count < TextLimits.rowBytes else {
            isInLongLine = true
            throw MartletError(.tooLarge, "\(file), line \(line + 1): the line has more than 64 MiB; cut it into rows")
        }
        let larger = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: buffer.count * 2)
        if let from = buffer.baseAddress, let to = larger.baseAddress { memcpy(to, from, limit) }
        buffer.deallocate()
        buffer = larger
    }
}

extension LineReader {
    /// As `next`; where it throws, `row` says of which line and how it begins.
    func next(_ row: Row) throws -> UnsafeBufferPointer<UInt8>? {
        do {
            return try next()
        } catch {
            row.line = line + 1
            row.excerpt = isInLongLine ? (nil, longLineStart) : nil
            throw error
        }
    }
}
