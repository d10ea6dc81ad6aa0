/// Rows in aligned columns; any script keeps its alignment, since wide characters count as two cells.
struct Table {
    enum Alignment { case left, right }
    private let header: [String]
    private let alignments: [Alignment]
    private var rows: [[String]] = []

    /// A header that starts with `>` is of a column that is aligned right.
    init(_ header: [String]) {
        alignments = header.map { $0.hasPrefix(">") ? .right : .left }
        self.header = header.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }
    }

    mutating func add(_ cells: [String]) { rows.append(cells) }

    var isEmpty: Bool { rows.isEmpty }

    var text: String {
        let all = (header.allSatisfy(\.isEmpty) ? [] : [header]) + rows
        let widths = header.indices.map { column in
            all.map { column < $0.count ? Self.width($0[column]) : 0 }.max() ?? 0
        }
        return all.map { cells in
            var line = ""
            for (column, cell) in cells.enumerated() where column < widths.count {
                let padding = String(repeating: " ", count: max(0, widths[column] - Self.width(cell)))
                line += alignments[column] == .right ? padding + cell : cell + padding
                if column + 1 < cells.count { line += "  " }
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    /// How many cells of a terminal `text` takes (Unicode East Asian Width, with emoji as two).
    static func width(_ text: String) -> Int {
        text.reduce(0) { sum, character in
            guard let scalar = character.unicodeScalars.first else { return sum }
            return sum + width(of: scalar)
        }
    }

    private static func width(of scalar: Unicode.Scalar) -> Int {
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
            0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1FAFF,
            0x20000...0x3FFFD:
            2
        default: 1
        }
    }
}
