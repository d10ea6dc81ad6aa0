import MartletWire

/// A document read member by member, without a tree of it.
extension JSONParser {
    /// Calls `body` at each member's value; duplicate keys are refused.
    mutating func members(_ body: (String, inout JSONParser) throws -> Void) throws {
        skipSpace()
        guard try take("{") else { throw fault("an object must start here") }
        var seen: Set<String> = []
        skipSpace()
        if try take("}") { return }
        while true {
            skipSpace()
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw fault("a key must follow")
            }
            let key = try text()
            guard seen.insert(key).inserted else {
                throw MartletError(
                    .invalidRequest, "duplicate_key: the key '\(key)' stands twice in one object", param: key)
            }
            skipSpace()
            guard try take(":") else { throw fault("':' must follow the key '\(key)'") }
            skipSpace()
            try body(key, &self)
            skipSpace()
            if try take(",") { continue }
            guard try take("}") else { throw fault("',' or '}' must follow") }
            return
        }
    }

    /// Calls `body` at each element of a list.
    mutating func elements(_ body: (inout JSONParser) throws -> Void) throws {
        guard try take("[") else { throw fault("a list must start here") }
        skipSpace()
        if try take("]") { return }
        while true {
            skipSpace()
            try body(&self)
            skipSpace()
            if try take(",") { continue }
            guard try take("]") else { throw fault("',' or ']' must follow") }
            return
        }
    }

    mutating func end() throws {
        skipSpace()
        guard position == bytes.count else { throw fault("text after the end of the document") }
    }
}
