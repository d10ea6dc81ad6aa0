/// The `model` of a request's body, found by passing over the rest: what there is no room for is not read further.
package struct ModelName {
    private let bytes: UnsafeRawBufferPointer
    private var place = 0

    /// Nil where it is not simply there: the body is read properly then. A wrong document may give a name too.
    package static func peek(_ bytes: UnsafeRawBufferPointer) -> String? {
        var name = ModelName(bytes: bytes)
        guard name.find("model") == UInt8(ascii: "\""), let value = name.string() else { return nil }
        return value.contains(UInt8(ascii: "\\")) ? nil : String(validating: value, as: UTF8.self)
    }

    /// Whether the body says `true` under `key`, found in the same way.
    package static func isTrue(_ key: String, in bytes: UnsafeRawBufferPointer) -> Bool {
        var flag = ModelName(bytes: bytes)
        guard flag.find(key) == UInt8(ascii: "t") else { return false }
        return bytes[flag.place...].starts(with: "rue".utf8)
    }

    private init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// The first byte of what stands under `wanted`; the place is behind it then.
    private mutating func find(_ wanted: String) -> UInt8? {
        guard next() == UInt8(ascii: "{") else { return nil }
        repeat {
            guard next() == UInt8(ascii: "\""), let key = string(), next() == UInt8(ascii: ":"), let first = next()
            else { return nil }
            if key.elementsEqual(wanted.utf8) { return first }
            if first == UInt8(ascii: "\"") {
                guard string() != nil else { return nil }
            } else {
                pass(first)
            }
        } while next() == UInt8(ascii: ",")
        return nil
    }

    /// The next byte that is no white space.
    private mutating func next() -> UInt8? {
        while place < bytes.count {
            defer { place += 1 }
            if bytes[place] > 0x20 { return bytes[place] }
        }
        return nil
    }

    /// A string's bytes, behind its first quotation mark.
    private mutating func string() -> Slice<UnsafeRawBufferPointer>? {
        let start = place
        while place < bytes.count, bytes[place] != UInt8(ascii: "\"") {
            place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard place < bytes.count else { return nil }
        defer { place += 1 }
        return bytes[start..<place]
    }

    /// Passes over a value that is no string, to what follows it.
    private mutating func pass(_ first: UInt8) {
        var depth = first == UInt8(ascii: "{") || first == UInt8(ascii: "[") ? 1 : 0
        while place < bytes.count {
            let byte = bytes[place]
            if depth == 0, byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") { return }
            place += 1
            switch byte {
            case UInt8(ascii: "\""): if string() == nil { return }
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
        }
    }
}
