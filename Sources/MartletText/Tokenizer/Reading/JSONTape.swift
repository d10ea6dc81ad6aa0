import MartletWire

/// A JSON document laid out flat, whose strings stay bytes.
///
/// A tokenizer's vocabulary holds keys that differ only in their Unicode normalization, and Swift's `String` takes those
/// for one; it also holds hundreds of thousands of strings, which need no object each.
struct JSONTape: Sendable {
    enum Kind: UInt8, Sendable { case null, bool, number, string, array, object }

    struct Node: Sendable {
        var kind: Kind
        var escaped = false
        /// Where the text starts in the document, and how many bytes it has (without quotes).
        var start: Int32
        var count: Int32
        /// The node after this one and all that it holds.
        var next: Int32 = 0
    }

    let bytes: [UInt8]
    private(set) var nodes: [Node] = []

    static let depthLimit = 64

    init(_ bytes: [UInt8]) throws {
        guard bytes.count < Int(Int32.max) else {
            throw MartletError(.tooLarge, "a tokenizer file of \(bytes.count) bytes is too large; the limit is 2 GB")
        }
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw MartletError(.invalidData, "the tokenizer's JSON is not UTF-8; save it as UTF-8")
        }
        self.bytes = bytes
        try scan()
    }

    private func fault(_ what: String, at position: Int) -> MartletError {
        MartletError(.invalidData, "the tokenizer's JSON is not valid at byte \(position): \(what); mend the file")
    }

    private mutating func scan() throws {
        nodes.reserveCapacity(bytes.count / 8 + 16)
        // Open lists and objects, by node. A key counts as a node of its own.
        var open: [Int] = []
        var position = 0
        var expectValue = true
        let bytes = self.bytes
        func skipSpace() {
            while position < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[position]) { position += 1 }
        }
        func closing(_ kind: Kind) -> UInt8 { kind == .array ? UInt8(ascii: "]") : UInt8(ascii: "}") }
        while expectValue || !open.isEmpty {
            skipSpace()
            guard position < bytes.count else { throw fault("the document ends early", at: position) }
            if expectValue {
                if let parent = open.last, bytes[position] == closing(nodes[parent].kind), nodes.count == parent + 1 {
                    position += 1
                    nodes[parent].next = Int32(nodes.count)
                    open.removeLast()
                    expectValue = false
                } else {
                    if let parent = open.last, nodes[parent].kind == .object {
                        try scanString(&position)
                        skipSpace()
                        guard position < bytes.count, bytes[position] == UInt8(ascii: ":") else {
                            throw fault("':' must follow a key", at: position)
                        }
                        position += 1
                        skipSpace()
                    }
                    expectValue = try scanValue(&position, open: &open)
                }
            }
            if !expectValue, let parent = open.last {
                skipSpace()
                guard position < bytes.count else { throw fault("the document ends early", at: position) }
                if bytes[position] == UInt8(ascii: ",") {
                    position += 1
                    skipSpace()
                    guard position < bytes.count, bytes[position] != closing(nodes[parent].kind) else {
                        throw fault("a value must follow ','", at: position)
                    }
                    expectValue = true
                } else if bytes[position] == closing(nodes[parent].kind) {
                    position += 1
                    nodes[parent].next = Int32(nodes.count)
                    open.removeLast()
                } else {
                    throw fault("',' or the end of the list must follow", at: position)
                }
            }
        }
        skipSpace()
        guard position == bytes.count else { throw fault("text after the end of the document", at: position) }
    }

    /// Scans one value; true where it opened a list or an object, whose first element comes next.
    private mutating func scanValue(_ position: inout Int, open: inout [Int]) throws -> Bool {
        guard position < bytes.count else { throw fault("the document ends early", at: position) }
        let byte = bytes[position]
        switch byte {
        case UInt8(ascii: "\""):
            try scanString(&position)
        case UInt8(ascii: "["), UInt8(ascii: "{"):
            guard open.count < Self.depthLimit else {
                throw fault("nested deeper than \(Self.depthLimit)", at: position)
            }
            open.append(nodes.count)
            nodes.append(
                Node(kind: byte == UInt8(ascii: "[") ? .array : .object, start: Int32(position), count: 0))
            position += 1
            return true
        default:
            let start = position
            while position < bytes.count, !Self.endsScalar(bytes[position]) { position += 1 }
            let text = bytes[start..<position]
            let kind: Kind
            if text.elementsEqual("null".utf8) {
                kind = .null
            } else if text.elementsEqual("true".utf8) || text.elementsEqual("false".utf8) {
                kind = .bool
            } else if let first = text.first, first == UInt8(ascii: "-") || (0x30...0x39).contains(first),
                Double(String(decoding: text, as: UTF8.self)) != nil
            {
                kind = .number
            } else {
                throw fault("a value must start here", at: start)
            }
            nodes.append(
                Node(kind: kind, start: Int32(start), count: Int32(position - start), next: Int32(nodes.count + 1)))
        }
        return false
    }

    private static func endsScalar(_ byte: UInt8) -> Bool {
        byte <= 0x20 || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")
    }

    private mutating func scanString(_ position: inout Int) throws {
        guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
            throw fault("a string must start here", at: position)
        }
        let start = position + 1
        var index = start
        var escaped = false
        while true {
            guard index < bytes.count else { throw fault("a string without an end", at: position) }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\") {
                escaped = true
                index += 1
            } else if byte < 0x20 {
                throw fault("a control character in a string", at: index)
            }
            index += 1
        }
        nodes.append(
            Node(
                kind: .string, escaped: escaped, start: Int32(start), count: Int32(index - start),
                next: Int32(nodes.count + 1)))
        position = index + 1
    }
}
