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
    private enum State { case outside(isInPart: Bool), header, epilogue }
    /// What follows a boundary's characters.
    private enum Ending {
        case undecided
        /// Content that only looks like a boundary.
        case none
        case last
        /// A part begins at this place, with the end of the boundary's line.
        case part(at: Int)
    }

    /// The most bytes of one part's header.
    package static let headerLimit = 16 << 10
    /// The most bytes of white space behind a boundary.
    private static let paddingLimit = 256

    private let delimiter: [UInt8]
    /// What is not decided yet lies behind `start`. It begins as if a line had ended, so that the body may begin with a
    /// boundary.
    private var buffer: [UInt8] = [13, 10]
    private var start = 0
    /// No boundary begins before this place.
    private var searched = 0
    private var state = State.outside(isInPart: false)

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
        // Once for all that was decided: each move of the rest costs its length.
        buffer.removeSubrange(..<start)
        searched = max(0, searched - start)
        start = 0
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
        case .outside(let isInPart): return try search(isInPart, handle)
        case .header: return try header(handle)
        case .epilogue:
            start = buffer.count
            return false
        }
    }

    /// Looks for the next boundary; what lies before it is the part's content.
    private mutating func search(_ isInPart: Bool, _ handle: (Event) throws -> Void) throws -> Bool {
        while let place = find(delimiter, from: max(start, searched)) {
            let ending = ending(at: place + delimiter.count)
            if case .none = ending {
                searched = place + delimiter.count
                continue
            }
            try pass(until: place, isInPart, handle)
            switch ending {
            case .none, .undecided: return false
            case .last: state = .epilogue
            case .part(let next):
                start = next
                state = .header
            }
            if isInPart { try handle(.partEnd) }
            return true
        }
        searched = max(start, searched, buffer.count - (delimiter.count - 1))
        try pass(until: searched, isInPart, handle)
        return false
    }

    /// What lies before `end` is no boundary.
    private mutating func pass(until end: Int, _ isInPart: Bool, _ handle: (Event) throws -> Void) throws {
        if isInPart, end > start { try handle(.data(Array(buffer[start..<end]))) }
        start = end
    }

    /// Behind a boundary: `--` closes the body, a line's end begins a part (the line's end stays: a part without a header
    /// begins with an empty line), and anything else was content.
    private func ending(at place: Int) -> Ending {
        let padding = buffer[place...].prefix { $0 == 0x20 || $0 == 0x09 }.count
        let rest = buffer[(place + padding)...]
        if padding == 0, rest.first == 0x2D {
            guard rest.count > 1 else { return .undecided }
            return rest[place + 1] == 0x2D ? .last : .none
        }
        guard padding <= Self.paddingLimit else { return .none }
        if rest.isEmpty || rest.elementsEqual([13]) { return .undecided }
        return rest.starts(with: [13, 10]) ? .part(at: place + padding) : .none
    }

    private mutating func header(_ handle: (Event) throws -> Void) throws -> Bool {
        guard let end = find([13, 10, 13, 10], from: start).map({ $0 - start }) else {
            guard buffer.count - start <= Self.headerLimit else {
                throw MartletError(
                    .invalidRequest, "a part's header has more than \(Self.headerLimit) bytes; shorten it")
            }
            return false
        }
        guard end <= Self.headerLimit else {
            throw MartletError(.invalidRequest, "a part's header has more than \(Self.headerLimit) bytes; shorten it")
        }
        let lines = end > 2 ? Array(buffer[start + 2..<start + end]) : []
        start += end + 4
        try handle(.part(try MultipartHeader(lines)))
        state = .outside(isInPart: true)
        return true
    }

    /// Where `bytes` begin next in the buffer.
    private func find(_ bytes: [UInt8], from begin: Int) -> Int? {
        buffer.withUnsafeBytes { hay in
            bytes.withUnsafeBytes { needle in
                guard let base = hay.baseAddress, let first = needle.first, let wanted = needle.baseAddress else {
                    return nil
                }
                var start = begin
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
