import Foundation
import MartletWire

/// Reads a flat object of plain values straight into cells, without building a tree.
///
/// It gives up on whatever is not plain (escapes, lists, objects, unknown or repeated keys, odd numbers, faults), and the
/// strict parser then reads the line or says what is wrong with it; so both give the same cells.
struct JSONLineScanner {
    private let places: ByteTable
    private let missing: [[UInt8]]
    private var seen: [Int]
    private var line = 0

    init(columns: [String], missing: [String]) {
        var table = ByteTable()
        for column in columns { _ = table.insert(column) }
        places = table
        self.missing = missing.map { Array($0.utf8) }
        seen = Array(repeating: 0, count: columns.count)
    }

    /// Whether `cells` now holds the object; if not they may hold anything.
    mutating func scan(_ bytes: UnsafeBufferPointer<UInt8>, into cells: inout [Cell], arena: Arena) -> Bool {
        line += 1
        guard let base = bytes.baseAddress else { return false }
        let end = bytes.count
        var p = 0
        func space() { while p < end, bytes[p] == 0x20 || bytes[p] == 0x09 || bytes[p] == 0x0D { p += 1 } }
        func take(_ byte: UInt8) -> Bool {
            guard p < end, bytes[p] == byte else { return false }
            p += 1
            return true
        }
        /// The inside of a string without escapes and beyond its closing mark.
        func text() -> UnsafeBufferPointer<UInt8>? {
            guard take(0x22) else { return nil }
            let start = p
            while p < end, bytes[p] != 0x22, bytes[p] != 0x5C, bytes[p] >= 0x20 { p += 1 }
            guard take(0x22) else { return nil }
            return UnsafeBufferPointer(start: base + start, count: p - 1 - start)
        }
        func word(_ word: StaticString) -> UnsafeBufferPointer<UInt8>? {
            let count = word.utf8CodeUnitCount
            guard end - p >= count, memcmp(base + p, word.utf8Start, count) == 0 else { return nil }
            p += count
            return UnsafeBufferPointer(start: base + p - count, count: count)
        }
        space()
        guard take(0x7B) else { return false }
        space()
        if take(0x7D) {
            space()
            return p == end
        }
        while true {
            guard let key = text(), let place = places.find(key), seen[place] != line else { return false }
            seen[place] = line
            space()
            guard take(0x3A) else { return false }
            space()
            guard p < end else { return false }
            switch bytes[p] {
            case 0x22:
                guard let value = text() else { return false }
                cells[place] = isMissing(value) ? .missing : Cell(.text, value.baseAddress ?? base, value.count)
            case UInt8(ascii: "t"), UInt8(ascii: "f"):
                guard let value = word("true") ?? word("false"), let start = value.baseAddress else { return false }
                cells[place] = Cell(.text, start, value.count)
            case UInt8(ascii: "n"):
                guard word("null") != nil else { return false }
                cells[place] = .missing
            default:
                guard let cell = Self.number(bytes, &p, arena) else { return false }
                cells[place] = cell
            }
            space()
            if take(0x2C) {
                space()
                continue
            }
            guard take(0x7D) else { return false }
            space()
            return p == end && UTF8Check.firstFault(bytes) == nil
        }
    }

    private func isMissing(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        value.isEmpty || missing.contains { $0.count == value.count && $0.elementsEqual(value) }
    }

    /// A number as JSON writes it; its cell holds the text that the strict parser's value would have.
    private static func number(_ bytes: UnsafeBufferPointer<UInt8>, _ p: inout Int, _ arena: Arena) -> Cell? {
        let start = p
        let end = bytes.count
        func digits() -> Int {
            let from = p
            while p < end, bytes[p] &- 0x30 < 10 { p += 1 }
            return p - from
        }
        if bytes[p] == 0x2D { p += 1 }
        let first = p
        let whole = digits()
        guard whole > 0, whole == 1 || bytes[first] != 0x30 else { return nil }
        var isPlain = whole <= 15 && (bytes[start] != 0x2D || bytes[first] != 0x30)
        if p < end, bytes[p] == 0x2E {
            p += 1
            let fraction = digits()
            guard fraction > 0 else { return nil }
            // Up to 15 digits without a trailing zero are the shortest text of their double, so nothing changes.
            isPlain = whole + fraction <= 15 && bytes[p - 1] != 0x30 && bytes[first] != 0x30
        }
        if p < end, bytes[p] | 0x20 == 0x65 {
            isPlain = false
            p += 1
            if p < end, bytes[p] == 0x2B || bytes[p] == 0x2D { p += 1 }
            guard digits() > 0 else { return nil }
        }
        guard p - start <= 1024, let base = bytes.baseAddress else { return nil }
        if isPlain { return Cell(.plainNumber, base + start, p - start) }
        let text = UnsafeBufferPointer(start: base + start, count: p - start)
        return NumberFormat.plain.parse(text).map { arena.number($0) }
    }
}
