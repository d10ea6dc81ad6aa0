import Foundation
import MartletWire

/// Cuts a cell into tokens.
struct Tokenizer: Sendable {
    let kind: InputConfig.Tokenizer

    /// Gives `body` each token in order, until it says false.
    func forEach(_ cell: Cell, _ body: (UnsafeBufferPointer<UInt8>) -> Bool) {
        switch kind {
        case .space:
            if cell.kind == .json || cell.bytes.first == UInt8(ascii: "["), let items = Self.list(cell) {
                for var item in items where !item.withUTF8(body) { return }
                return
            }
            Self.runs(cell.bytes, isPart: { $0 > 0x20 }, body)
        case .character:
            for scalar in cell.string.unicodeScalars {
                var text = String(scalar)
                if !text.withUTF8(body) { return }
            }
        case .word:
            if cell.bytes.allSatisfy({ $0 < 0x80 }) {
                var lower = cell.bytes.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }
                lower.withUnsafeMutableBufferPointer {
                    Self.runs(UnsafeBufferPointer($0), isPart: { $0 &- 0x61 < 26 || $0 &- 0x30 < 10 }, body)
                }
            } else {
                Self.words(cell.string, body)
            }
        }
    }

    func tokens(_ cell: Cell) -> [String] {
        var tokens: [String] = []
        forEach(cell) {
            tokens.append(String(decoding: $0, as: UTF8.self))
            return true
        }
        return tokens
    }

    func count(_ cell: Cell) -> Int {
        var count = 0
        forEach(cell) { _ in
            count += 1
            return true
        }
        return count
    }

    private static func runs(
        _ bytes: UnsafeBufferPointer<UInt8>, isPart: (UInt8) -> Bool, _ body: (UnsafeBufferPointer<UInt8>) -> Bool
    ) {
        var position = 0
        while position < bytes.count {
            while position < bytes.count, !isPart(bytes[position]) { position += 1 }
            let start = position
            while position < bytes.count, isPart(bytes[position]) { position += 1 }
            if position > start, !body(UnsafeBufferPointer(rebasing: bytes[start..<position])) { return }
        }
    }

    /// Runs of letters, marks and digits, lower-cased; Chinese, Japanese and Korean characters one by one.
    private static func words(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Bool) {
        var word = ""
        func flush() -> Bool {
            guard !word.isEmpty else { return true }
            defer { word = "" }
            return word.withUTF8(body)
        }
        for scalar in text.lowercased().unicodeScalars {
            if isIdeograph(scalar) {
                guard flush() else { return }
                word.unicodeScalars.append(scalar)
                guard flush() else { return }
            } else if isWordPart(scalar) {
                word.unicodeScalars.append(scalar)
            } else if !flush() {
                return
            }
        }
        _ = flush()
    }

    private static func isIdeograph(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x3040...0x30FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0xAC00...0xD7AF, 0x20000...0x3FFFF:
            true
        default: false
        }
    }

    private static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .decimalNumber, .letterNumber, .otherNumber:
            true
        default: false
        }
    }

    /// The items of a JSON list of texts and whole numbers; nil where the cell is none.
    private static func list(_ cell: Cell) -> [String]? {
        guard let items = (try? JSONParser.parse(UnsafeRawBufferPointer(cell.bytes)))?.array else { return nil }
        return items.map { item in
            switch item {
            case .string(let text): text
            default: item.serialized()
            }
        }
    }
}
