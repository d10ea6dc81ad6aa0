import Foundation
import MartletWire

/// A cleaning step with the values that it learnt from the training split.
public struct FittedStep: Codable, Sendable, Equatable {
    public var step: CleanStep
    /// fill with mean, median or mode: column → the value, written with a decimal point where it is a number.
    public var values: [String: String] = [:]

    /// In a user's words: `fill income with median`.
    public var title: String {
        func list(_ columns: [String]) -> String { columns.isEmpty ? "all columns" : columns.joined(separator: ", ") }
        switch step {
        case .dropMissing(let columns): return "drop_missing \(list(columns))"
        case .fill(let columns, let with):
            let word =
                switch with {
                case .mean: "mean"
                case .median: "median"
                case .mode: "mode"
                case .forward: "the value before"
                case .constant(let value): "'\(value)'"
                }
            return "fill \(list(columns)) with \(word)"
        case .dropDuplicates(let columns): return "drop_duplicates \(list(columns))"
        case .clip(let columns, _, _): return "clip \(list(columns))"
        case .replace(let columns, _): return "replace in \(list(columns))"
        case .cast(let columns, let to): return "cast \(list(columns)) to \(to.rawValue)"
        case .dropColumns(let columns): return "drop_columns \(list(columns))"
        }
    }
}

/// Runs the cleaning steps over rows, in order. A value: a copy starts with its own counts and memory.
struct Cleaner {
    private enum Action {
        case dropMissing([Int])
        case fill([Int], [Int: StaticBytes])
        case forward([Int])
        case dropDuplicates([Int])
        case clip([Int], low: Double?, high: Double?, lowBytes: StaticBytes, highBytes: StaticBytes)
        case replace([Int], ByteTable, [StaticBytes])
        case cast([Int], CleanStep.Cast)
        case nothing
    }

    /// What a step does: rows that it took out, or cells that it changed.
    struct Effect {
        var rows = 0
        var cells = 0
    }

    let steps: [FittedStep]
    private var actions: [Action] = []
    private let columns: [String]
    private(set) var effects: [Effect]
    private var seen: [Set<RowHash>]
    private var last: [[Int: StaticBytes]]

    /// Stands for a value that is not learnt yet.
    static let pending = StaticBytes("\u{1}")
    private static let yes = StaticBytes("true")
    private static let no = StaticBytes("false")

    /// `isServing` leaves out what takes rows away and ignores columns that a request does not need.
    init(_ steps: [FittedStep], columns: [String], isServing: Bool, place: (String) throws -> Int) throws {
        self.steps = steps
        self.columns = columns
        effects = Array(repeating: Effect(), count: steps.count)
        seen = Array(repeating: [], count: steps.count)
        last = Array(repeating: [:], count: steps.count)
        var dropped: Set<Int> = []
        for fitted in steps {
            func places(_ names: [String]) throws -> [Int] {
                if names.isEmpty { return columns.indices.filter { !dropped.contains($0) } }
                return try names.compactMap { isServing && !columns.contains($0) ? nil : try place($0) }
            }
            switch fitted.step {
            case .dropMissing(let names): actions.append(isServing ? .nothing : .dropMissing(try places(names)))
            case .dropDuplicates(let names): actions.append(isServing ? .nothing : .dropDuplicates(try places(names)))
            case .dropColumns(let names):
                dropped.formUnion(try places(names))
                actions.append(.nothing)
            case .fill(let names, .forward): actions.append(isServing ? .nothing : .forward(try places(names)))
            case .fill(let names, let with):
                var values: [Int: StaticBytes] = [:]
                let places = try places(names)
                for place in places {
                    if case .constant(let value) = with {
                        values[place] = StaticBytes(value)
                    } else {
                        values[place] = fitted.values[columns[place]].map { StaticBytes($0) } ?? Self.pending
                    }
                }
                actions.append(.fill(places, values))
            case .clip(let names, let low, let high):
                let text = { (value: Double?) in StaticBytes(NumberFormat.plain.text(value ?? 0)) }
                actions.append(
                    .clip(try places(names), low: low, high: high, lowBytes: text(low), highBytes: text(high)))
            case .replace(let names, let values):
                var table = ByteTable()
                var texts: [StaticBytes] = []
                for (from, to) in values.sorted(by: { $0.key < $1.key }) {
                    _ = table.insert(from)
                    texts.append(StaticBytes(to))
                }
                actions.append(.replace(try places(names), table, texts))
            case .cast(let names, let kind): actions.append(.cast(try places(names), kind))
            }
        }
    }

    func columnName(_ place: Int) -> String { columns[place] }

    /// Whether a later pass must see the rows that were dropped, too.
    var looksBack: Bool { actions.contains { if case .forward = $0 { true } else { false } } }

    /// Cleans `row` in place; false where it goes. `keepsDuplicates` is for a pass over rows already chosen.
    mutating func apply(
        to row: Row, keepsDuplicates: Bool = false, observe: ((Int, Row) throws -> Void)? = nil
    ) throws -> Bool {
        for index in actions.indices {
            try observe?(index, row)
            switch actions[index] {
            case .nothing: break
            case .dropMissing(let places):
                if places.contains(where: { row.cells[$0].isMissing }) {
                    effects[index].rows += 1
                    return false
                }
            case .dropDuplicates(let places):
                if keepsDuplicates { break }
                var hash = RowHash()
                for place in places { hash.combine(row.cells[place]) }
                if !seen[index].insert(hash).inserted {
                    effects[index].rows += 1
                    return false
                }
            case .fill(let places, let values):
                for place in places where row.cells[place].isMissing {
                    guard let value = values[place] else { continue }
                    row.cells[place] = Cell(.plainNumber, value.start, value.count)
                    effects[index].cells += 1
                }
            case .forward(let places): forward(places, row, index)
            case .clip(let places, let low, let high, let lowBytes, let highBytes):
                for place in places {
                    let cell = row.cells[place]
                    if cell.isMissing || cell.start == Self.pending.start { continue }
                    guard let value = cell.number(row.numbers) else {
                        throw row.fault(columns[place], cell, "is not a number", remedy: "leave the column out of clip")
                    }
                    if let low, value < low {
                        row.cells[place] = Cell(.plainNumber, lowBytes.start, lowBytes.count)
                        effects[index].cells += 1
                    } else if let high, value > high {
                        row.cells[place] = Cell(.plainNumber, highBytes.start, highBytes.count)
                        effects[index].cells += 1
                    }
                }
            case .replace(let places, let table, let texts):
                for place in places {
                    let cell = row.cells[place]
                    guard cell.kind == .text || cell.kind == .plainNumber || cell.isMissing,
                        let found = table.find(cell.bytes)
                    else { continue }
                    row.cells[place] = texts[found].count == 0 ? .missing : texts[found].cell
                    effects[index].cells += 1
                }
            case .cast(let places, let kind): cast(places, kind, row, index)
            }
        }
        return true
    }

    private mutating func forward(_ places: [Int], _ row: Row, _ index: Int) {
        for place in places {
            let cell = row.cells[place]
            if !cell.isMissing {
                let value = last[index][place]
                if value?.count != cell.count || memcmp(value?.start ?? cell.start, cell.start, cell.count) != 0 {
                    last[index][place] = StaticBytes(cell.bytes)
                }
            } else if let value = last[index][place] {
                row.cells[place] = value.cell
                effects[index].cells += 1
            }
        }
    }

    private mutating func cast(_ places: [Int], _ kind: CleanStep.Cast, _ row: Row, _ index: Int) {
        for place in places {
            let cell = row.cells[place]
            if cell.isMissing || cell.start == Self.pending.start { continue }
            switch kind {
            case .category, .text: break
            case .number:
                if cell.number(row.numbers) == nil {
                    row.cells[place] = .missing
                    effects[index].cells += 1
                }
            case .boolean:
                let value = BooleanWords.parse(cell.bytes)
                row.cells[place] = value.map { $0 ? Self.yes.cell : Self.no.cell } ?? .missing
                if value == nil { effects[index].cells += 1 }
            }
        }
    }
}
