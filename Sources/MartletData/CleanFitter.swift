import Foundation
import MartletWire

/// Learns the values of `fill` steps (mean, median, mode) from the training rows.
struct CleanFitter {
    private struct Column {
        var step: Int
        var place: Int
        var name: String
        var with: CleanStep.Fill
        var moments = Moments()
        var sample = Reservoir(capacity: CleanFitter.exactMedian)
        var table = ByteTable()
        var counts: [Int] = []
    }

    /// Values up to which a median is exact; beyond, it is one of a seeded sample of as many.
    static let exactMedian = 2_000_000

    private var columns: [Column] = []

    init(_ steps: [FittedStep], columns names: [String], place: (String) throws -> Int) throws {
        for (index, fitted) in steps.enumerated() {
            guard case .fill(let wanted, let with) = fitted.step else { continue }
            switch with {
            case .mean, .median, .mode: break
            case .forward, .constant: continue
            }
            for name in wanted.isEmpty ? names : wanted {
                columns.append(Column(step: index, place: try place(name), name: name, with: with))
            }
        }
    }

    var isEmpty: Bool { columns.isEmpty }

    /// Takes the row as it stands before `step`.
    mutating func add(_ row: Row, before step: Int) throws {
        for index in columns.indices where columns[index].step == step {
            let cell = row.cells[columns[index].place]
            if cell.isMissing || cell.start == Cleaner.pending.start { continue }
            if columns[index].with == .mode {
                let found = columns[index].table.insert(cell.bytes)
                if found == columns[index].counts.count {
                    columns[index].counts.append(1)
                } else {
                    columns[index].counts[found] += 1
                }
                continue
            }
            guard let value = cell.number(row.numbers) else {
                throw row.fault(
                    columns[index].name, cell, "is not a number, so the column has no mean or median",
                    remedy: "fill it with mode or a constant, or mend the file")
            }
            if columns[index].with == .mean {
                columns[index].moments.add(value)
            } else {
                columns[index].sample.add(value)
            }
        }
    }

    /// The steps with their values, and remarks for the report.
    func finish(_ steps: [FittedStep]) throws -> (steps: [FittedStep], remarks: [String]) {
        var steps = steps
        var remarks: [String] = []
        for column in columns {
            var value: String?
            switch column.with {
            case .mean where column.moments.count > 0: value = NumberFormat.plain.text(column.moments.mean)
            case .median:
                value = column.sample.median.map { NumberFormat.plain.text($0) }
                if column.sample.isSampled {
                    remarks.append("the median of '\(column.name)' is that of a seeded sample of 2,000,000 values")
                }
            case .mode:
                let best = column.counts.indices.max {
                    (column.counts[$0], -$0) < (column.counts[$1], -$1)
                }
                value = best.map { column.table[$0] }
            default: break
            }
            guard let value else {
                throw MartletError(
                    .invalidData,
                    "column '\(column.name)' has no value in the training rows to fill from; drop it or fill with a constant",
                    param: column.name)
            }
            steps[column.step].values[column.name] = value
        }
        return (steps, remarks)
    }
}

/// A sample of a stream, uniform and the same in every run (Vitter's algorithm R).
struct Reservoir {
    private let capacity: Int
    private(set) var values: [Double] = []
    private(set) var seen = 0
    private var random = CounterRandom(seed: 0, purpose: 3)

    init(capacity: Int) { self.capacity = capacity }

    var isSampled: Bool { seen > capacity }

    mutating func add(_ value: Double) {
        seen += 1
        if values.count < capacity {
            values.append(value)
        } else {
            let place = random.below(seen)
            if place < capacity { values[place] = value }
        }
    }

    var median: Double? {
        guard !values.isEmpty else { return nil }
        let sorted = values.sorted()
        let middle = sorted.count / 2
        if sorted.count % 2 == 1 { return sorted[middle] }
        let sum = sorted[middle - 1] + sorted[middle]
        return sum.isFinite ? sum / 2 : sorted[middle - 1] / 2 + sorted[middle] / 2
    }
}
