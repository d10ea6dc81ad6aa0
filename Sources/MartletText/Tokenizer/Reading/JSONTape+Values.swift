import MartletWire

extension JSONTape {
    /// The elements of a list, as node numbers.
    func elements(of node: Int) -> [Int] {
        var result: [Int] = []
        var child = node + 1
        while child < Int(nodes[node].next) {
            result.append(child)
            child = Int(nodes[child].next)
        }
        return result
    }

    /// Calls `body` with the key's node and the value's node of each pair of an object, in order.
    func forEachPair(of node: Int, _ body: (Int, Int) throws -> Void) rethrows {
        var child = node + 1
        while child < Int(nodes[node].next) {
            try body(child, child + 1)
            child = Int(nodes[child + 1].next)
        }
    }

    /// The value of a key; the last one where it is written twice.
    func value(_ key: String, of node: Int) -> Int? {
        guard nodes[node].kind == .object else { return nil }
        var found: Int?
        forEachPair(of: node) { name, value in
            let name = nodes[name]
            if !name.escaped, bytes[Int(name.start)..<Int(name.start + name.count)].elementsEqual(key.utf8) {
                found = value
            }
        }
        return found
    }

    /// The bytes of a string, escapes undone. Throws for half a surrogate pair.
    func string(_ node: Int) throws -> [UInt8] {
        let start = Int(nodes[node].start)
        let end = start + Int(nodes[node].count)
        if !nodes[node].escaped { return Array(bytes[start..<end]) }
        var out: [UInt8] = []
        out.reserveCapacity(end - start)
        var index = start
        while index < end {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                continue
            }
            let kind = bytes[index]
            index += 1
            switch kind {
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(kind)
            case UInt8(ascii: "u"):
                var value = try hex(&index, end)
                if (0xD800..<0xDC00).contains(value), index + 1 < end, bytes[index] == UInt8(ascii: "\\"),
                    bytes[index + 1] == UInt8(ascii: "u")
                {
                    index += 2
                    let low = try hex(&index, end)
                    guard (0xDC00..<0xE000).contains(low) else { throw escapeFault(index) }
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00)
                }
                guard let scalar = Unicode.Scalar(value) else { throw escapeFault(index) }
                out.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
            default: throw escapeFault(index)
            }
        }
        return out
    }

    private func hex(_ index: inout Int, _ end: Int) throws -> UInt32 {
        guard index + 4 <= end, let value = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
        else { throw escapeFault(index) }
        index += 4
        return value
    }

    private func escapeFault(_ position: Int) -> MartletError {
        MartletError(.invalidData, "the tokenizer's JSON has a bad escape before byte \(position); mend the file")
    }

    /// A number that is a whole one from 0 to 2³¹ − 1.
    func index(_ node: Int) -> Int? {
        guard nodes[node].kind == .number, let value = double(node), let exact = Int(exactly: value),
            (0...Int(Int32.max)).contains(exact)
        else { return nil }
        return exact
    }

    func double(_ node: Int) -> Double? {
        guard nodes[node].kind == .number else { return nil }
        let start = Int(nodes[node].start)
        return Double(String(decoding: bytes[start..<start + Int(nodes[node].count)], as: UTF8.self))
    }

    /// A small part of the document as a tree.
    func json(_ node: Int) throws -> JSON {
        let entry = nodes[node]
        switch entry.kind {
        case .null: return .null
        case .bool: return .bool(bytes[Int(entry.start)] == UInt8(ascii: "t"))
        case .number:
            let value = double(node) ?? 0
            return Int64(exactly: value).map { .int($0) } ?? .double(value)
        case .string: return .string(String(decoding: try string(node), as: UTF8.self))
        case .array: return .array(try elements(of: node).map { try json($0) })
        case .object:
            var object = JSONObject()
            try forEachPair(of: node) { key, value in
                object[String(decoding: try string(key), as: UTF8.self)] = try json(value)
            }
            return .object(object)
        }
    }
}
