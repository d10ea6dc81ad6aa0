import Foundation
import MartletWire

/// Parts of a `multipart/form-data` body (RFC 7578, RFC 2046) as its bytes come, in pieces of any size.
///
/// It holds no more than a boundary's length of a part's content, so a file of any size passes through.
package struct MultipartParser: Sendable {
    package enum Event: Sendable, Equatable {
        case part(MultipartHeader)
        case data([UInt8])
        case partEnd
    }
    private enum State { case preamble, delimiter(isInPart: Bool), header, content, epilogue }

    /// The most bytes of one part's header.
    package static let headerLimit = 16 << 10
    /// The most bytes of white space behind a boundary.
    private static let paddingLimit = 256

    private let delimiter: [UInt8]
    /// What is not decided yet. It starts as if a line had ended, so that the body may begin with a boundary.
    private var buffer: [UInt8] = [13, 10]
    private var state = State.preamble

    /// Throws `invalidRequest` for a boundary that RFC 2046 does not allow.
    package init(boundary: String) throws {
        let bytes = Array(boundary.utf8)
        guard (1...200).contains(bytes.count), bytes.allSatisfy({ (0x20...0x7E).contains($0) }), bytes.last != 0x20
        else {
            throw MartletError(
                .invalidRequest, "the boundary of the multipart body must have 1 to 200 printable characters",
                param: "Content-Type")
        }
        delimiter = Array("\r\n--".utf8) + bytes
    }

    /// Whether the closing boundary was seen.
    package var isComplete: Bool { if case .epilogue = state { true } else { false } }

    /// Takes the next bytes. Throws `invalidRequest` for what is no multipart body.
    package mutating func feed(_ bytes: UnsafeRawBufferPointer, _ handle: (Event) throws -> Void) throws {
        if case .epilogue = state { return }
        buffer.append(contentsOf: bytes)
        while try step(handle) {}
    }

    /// Throws `invalidRequest` where the body ended before its closing boundary.
    package func finish() throws {
        guard isComplete else {
            throw MartletError(
                .invalidRequest, "the multipart body ends before its last boundary; send the whole of it")
        }
    }

    /// One move of the machine; false where it needs more bytes.
    private mutating func step(_ handle: (Event) throws -> Void) throws -> Bool {
        switch state {
        case .preamble:
            guard let place = find(delimiter) else {
                discard(keeping: delimiter.count - 1)
                return false
            }
            buffer.removeSubrange(..<(place + delimiter.count))
            state = .delimiter(isInPart: false)
            return true
        case .delimiter(let isInPart): return try boundary(isInPart, handle)
        case .header: return try header(handle)
        case .content:
            guard let place = find(delimiter) else {
                let kept = delimiter.count - 1
                if buffer.count > kept {
                    try handle(.data(Array(buffer[..<(buffer.count - kept)])))
                    discard(keeping: kept)
                }
                return false
            }
            if place > 0 { try handle(.data(Array(buffer[..<place]))) }
            buffer.removeSubrange(..<(place + delimiter.count))
            state = .delimiter(isInPart: true)
            return true
        case .epilogue:
            buffer = []
            return false
        }
    }

    /// Behind a boundary: `--` closes the body, a line's end begins a part, and anything else was content that only
    /// looked like a boundary.
    private mutating func boundary(_ isInPart: Bool, _ handle: (Event) throws -> Void) throws -> Bool {
        let padding = buffer.prefix { $0 == 0x20 || $0 == 0x09 }.count
        let rest = buffer[padding...]
        if padding == 0, rest.first == 0x2D {
            guard rest.count > 1 else { return false }
            if rest[1] == 0x2D {
                if isInPart { try handle(.partEnd) }
                state = .epilogue
                return true
            }
        } else if rest.isEmpty || rest.elementsEqual([13]), padding <= Self.paddingLimit {
            return false
        } else if rest.starts(with: [13, 10]), padding <= Self.paddingLimit {
            if isInPart { try handle(.partEnd) }
            // The end of the line stays: a part without a header begins with an empty line.
            buffer.removeSubrange(..<padding)
            state = .header
            return true
        }
        if isInPart { try handle(.data(delimiter)) }
        state = isInPart ? .content : .preamble
        return true
    }

    private mutating func header(_ handle: (Event) throws -> Void) throws -> Bool {
        guard let end = find([13, 10, 13, 10]) else {
            guard buffer.count <= Self.headerLimit else {
                throw MartletError(
                    .invalidRequest, "a part's header has more than \(Self.headerLimit) bytes; shorten it")
            }
            return false
        }
        guard end <= Self.headerLimit else {
            throw MartletError(.invalidRequest, "a part's header has more than \(Self.headerLimit) bytes; shorten it")
        }
        let lines = end > 2 ? Array(buffer[2..<end]) : []
        buffer.removeSubrange(..<(end + 4))
        try handle(.part(try MultipartHeader(lines)))
        state = .content
        return true
    }

    private mutating func discard(keeping count: Int) {
        if buffer.count > count { buffer.removeSubrange(..<(buffer.count - count)) }
    }

    /// Where `bytes` begin in the buffer.
    private func find(_ bytes: [UInt8]) -> Int? {
        buffer.withUnsafeBytes { hay in
            bytes.withUnsafeBytes { needle in
                guard let base = hay.baseAddress, let first = needle.first, let wanted = needle.baseAddress else {
                    return nil
                }
                var start = 0
                while hay.count - start >= needle.count,
                    let found = memchr(base + start, Int32(first), hay.count - start - needle.count + 1)
                {
                    start = UnsafeRawPointer(found) - base
                    if memcmp(base + start, wanted, needle.count) == 0 { return start }
                    start += 1
                }
                return nil
            }
        }
    }
}
