/// The Unicode tables as `scripts/golden/make_unicode.py` writes them: text, read once at the first use.
enum UnicodeData {
    /// One byte a code point from `letter count letter count…`, `a` for 0.
    static func expand(_ runs: String, _ alphabet: (UInt8) -> UInt8 = { UnicodeData.place(of: $0) }) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 0x110000)
        var position = 0
        forEachRun(runs) { letter, count in
            let value = alphabet(letter)
            if value != 0 {
                for index in position..<min(position + count, out.count) { out[index] = value }
            }
            position += count
        }
        return out
    }

    /// Sets a bit in every code point whose run has another letter than `a`.
    static func mark(_ runs: String, _ bit: UInt8, in table: inout [UInt8]) {
        var position = 0
        forEachRun(runs) { letter, count in
            if letter != UInt8(ascii: "a") {
                for index in position..<min(position + count, table.count) { table[index] |= bit }
            }
            position += count
        }
    }

    private static func forEachRun(_ runs: String, _ body: (UInt8, Int) -> Void) {
        var letter: UInt8 = 0
        var count = 0
        for byte in runs.utf8 {
            if (0x30...0x39).contains(byte) {
                count = count * 10 + Int(byte - 0x30)
            } else if byte > 0x20 {
                if count > 0 { body(letter, count) }
                letter = byte
                count = 0
            }
        }
        if count > 0 { body(letter, count) }
    }

    static func place(of letter: UInt8) -> UInt8 {
        switch letter {
        case 0x61...0x7A: letter - 0x61
        case 0x41...0x5A: letter - 0x41 + 26
        default: (Array("!\"#$%&'()*".utf8).firstIndex(of: letter).map { UInt8($0) } ?? 0) + 52
        }
    }

    /// `delta:image,image;…` as code points and their images, in hexadecimal.
    static func mappings(_ text: String) -> [(UInt32, [Unicode.Scalar])] {
        var out: [(UInt32, [Unicode.Scalar])] = []
        var code: UInt32 = 0
        for entry in text.utf8.split(whereSeparator: { $0 == UInt8(ascii: ";") || $0 == 0x0A }) {
            let parts = entry.split(separator: UInt8(ascii: ":"))
            guard parts.count == 2 else { continue }
            code += hex(parts[0])
            let image = parts[1].split(separator: UInt8(ascii: ",")).compactMap { Unicode.Scalar(hex($0)) }
            out.append((code, image))
        }
        return out
    }

    /// One byte a code point from `value,count;…`, in hexadecimal.
    static func expandPairs(_ text: String) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 0x110000)
        var position = 0
        for entry in text.utf8.split(whereSeparator: { $0 == UInt8(ascii: ";") || $0 == 0x0A }) {
            let parts = entry.split(separator: UInt8(ascii: ",")).map { hex($0) }
            guard parts.count == 2 else { continue }
            let value = UInt8(truncatingIfNeeded: parts[0])
            let end = min(position + Int(parts[1]), out.count)
            if value != 0 {
                for index in position..<end { out[index] = value }
            }
            position = end
        }
        return out
    }

    /// `a,b,c;…`: what two code points compose into.
    static func triples(_ text: String) -> [(UInt32, UInt32, UInt32)] {
        text.utf8.split(whereSeparator: { $0 == UInt8(ascii: ";") || $0 == 0x0A }).compactMap { entry in
            let parts = entry.split(separator: UInt8(ascii: ",")).map { hex($0) }
            return parts.count == 3 ? (parts[0], parts[1], parts[2]) : nil
        }
    }

    private static func hex(_ digits: some Sequence<UInt8>) -> UInt32 {
        digits.reduce(0) { value, digit in
            value << 4 | UInt32(digit <= 0x39 ? digit &- 0x30 : (digit | 0x20) &- 0x57)
        }
    }
}
