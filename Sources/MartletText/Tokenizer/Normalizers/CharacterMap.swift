import Foundation
import MartletWire

/// SentencePiece's compiled normalization: a double-array trie from short texts to their replacements.
///
/// The layout is a 32-bit size, the trie's 32-bit units, then the replacements, each ended by a zero byte.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]
    /// Whether the longest entry is replaced, as SentencePiece does; `tokenizers` goes by user-perceived characters.
    private let takesLongest: Bool
    /// Texts that are left as they are where the longest entries are replaced.
    private var kept = ByteTrie()
    private static let longestKept = 1024

    init(base64: String, takesLongest: Bool = false, kept: [[UInt8]] = []) throws {
        guard let data = Data(base64Encoded: base64) else {
            throw MartletError(.invalidData, "the tokenizer's precompiled_charsmap is not base64; export it again")
        }
        try self.init(Array(data), takesLongest: takesLongest)
        for text in kept where !text.isEmpty {
            // One is looked for at each place of a text.
            guard text.count <= Self.longestKept else {
                throw MartletError(
                    .unsupportedFormat,
                    "the tokenizer keeps a text of \(text.count) bytes as it is; at most \(Self.longestKept) are supported"
                )
            }
            self.kept.insert(text, 1)
        }
    }

    init(_ bytes: [UInt8], takesLongest: Bool) throws {
        func word(_ index: Int) -> UInt32 {
            UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
                | UInt32(bytes[index + 3]) << 24
        }
        guard bytes.count >= 8, case let size = Int(word(0)), size % 4 == 0, size >= 4, size <= bytes.count - 4,
            String(validating: bytes[(4 + size)...], as: UTF8.self) != nil
        else {
            throw MartletError(
                .invalidData, "the tokenizer's precompiled_charsmap does not hold the trie it says; export it again")
        }
        units = (0..<size / 4).map { word(4 + 4 * $0) }
        replacements = Array(bytes[(4 + size)...])
        self.takesLongest = takesLongest
    }

    /// The replacement of the shortest entry, or of the longest, that `bytes[start..<end]` begins with, and its end.
    private func replacement(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int
    ) -> (image: Range<Int>, end: Int)? {
        func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << (Int(unit & 0x200) >> 6) }
        var node = offset(units[0])
        var found: (image: Range<Int>, end: Int)?
        for index in start..<end {
            let byte = Int(bytes[index])
            if byte == 0 { return found }
            node ^= byte
            guard node < units.count, units[node] & 0x8000_00FF == UInt32(byte) else { return found }
            let unit = units[node]
            node ^= offset(unit)
            if unit >> 8 & 1 == 1 {
                guard node < units.count, case let first = Int(units[node] & 0x7FFF_FFFF), first <= replacements.count
                else { return found }
                var last = first
                while last < replacements.count, replacements[last] != 0 { last += 1 }
                // An entry that points into the middle of a character is of a damaged file.
                guard first == replacements.count || replacements[first] & 0xC0 != 0x80 else { return found }
                found = (first..<last, index + 1)
                guard takesLongest else { return found }
            }
        }
        return found
    }

    /// The end of the longest kept text that `bytes[start..<end]` begins with, or `start`.
    private func keptEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var node: Int32 = 0
        var found = start
        for index in start..<end {
            node = kept.child(node, bytes[index])
            guard node >= 0 else { return found }
            if kept.values[Int(node)] >= 0 { found = index + 1 }
        }
        return found
    }

    func apply(_ text: inout AlignedText) {
        var changes: [(code: UInt32, change: Int)] = []
        changes.reserveCapacity(text.bytes.count)
        var isModified = false
        text.bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            func rewrite(_ start: Int, _ end: Int) -> Bool {
                guard let image = replacement(base, start, end)?.image else { return false }
                isModified = true
                Self.put(UTF8Scan.scalars(replacements[image]), for: Self.scalarCount(base, start, end), &changes)
                return true
            }
            if takesLongest {
                var index = 0
                while index < bytes.count {
                    let whole = keptEnd(base, index, bytes.count)
                    if whole > index {
                        for scalar in UTF8Scan.scalars(bytes[index..<whole]) { changes.append((scalar, 0)) }
                        index = whole
                        continue
                    }
                    let stop = replacement(base, index, bytes.count)?.end ?? index
                    if stop > index, rewrite(index, stop) {
                        index = stop
                    } else {
                        let (code, length) = UTF8Scan.scalar(base, index)
                        changes.append((code, 0))
                        index += length
                    }
                }
                return
            }
            GraphemeScan.forEach(base, bytes.count) { start, end in
                if end - start < 6, rewrite(start, end) { return }
                var index = start
                while index < end {
                    let (code, length) = UTF8Scan.scalar(base, index)
                    if !rewrite(index, index + length) { changes.append((code, 0)) }
                    index += length
                }
            }
        }
        guard isModified else { return }
        text.align()
        var rewriter = TextRewriter(text)
        for entry in changes { rewriter.put(entry.code, entry.change) }
        text = rewriter.new
    }

    private static func scalarCount(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        var count = 0
        for index in start..<end where bytes[index] & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// Of more new scalars than old the last are put in; of fewer, the last scalar so far stands for the rest too.
    private static func put(_ image: [UInt32], for oldCount: Int, _ changes: inout [(code: UInt32, change: Int)]) {
        for (index, code) in image.enumerated() { changes.append((code, index >= oldCount ? 1 : 0)) }
        if image.count < oldCount, !changes.isEmpty { changes[changes.count - 1].change += image.count - oldCount }
    }
}

/// Cuts text into user-perceived characters (Unicode Standard Annex 29).
enum GraphemeScan {
    static func forEach(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ body: (Int, Int) -> Void) {
        var index = 0
        while index < count {
            // An ASCII character before another is alone, but for a line's CR and LF.
            if bytes[index] < 0x80, index + 1 >= count || bytes[index + 1] < 0x80,
                !(bytes[index] == 0x0D && index + 1 < count && bytes[index + 1] == 0x0A)
            {
                body(index, index + 1)
                index += 1
                continue
            }
            // Up to the next pair of ASCII characters, where a border is certain.
            var end = index + 1
            while end < count, !(bytes[end] < 0x80 && bytes[end - 1] < 0x80 && bytes[end] != 0x0A) { end += 1 }
            let part = String(decoding: UnsafeBufferPointer(start: bytes + index, count: end - index), as: UTF8.self)
            for character in part {
                let length = character.utf8.count
                body(index, index + length)
                index += length
            }
        }
    }
}
