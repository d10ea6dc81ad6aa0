import Foundation
import MartletData
import MartletWire

/// What is wrong with the lines of training files: told up to a number that a person would read, and collected for the
/// job's file of bad rows beyond it.
final class LineFaults {
    private(set) var lines: [String] = []
    private var param: String?
    private let badRows: BadRows
    private var files: [String: Int] = [:]

    static let limit = 20

    init(_ badRows: BadRows) { self.badRows = badRows }

    var isFull: Bool { badRows.isFull }

    /// - Parameter start: how the line begins.
    func add(_ error: MartletError, file: String, line: Int, start: String) throws {
        let place = "\(file), line \(line): "
        let message = error.message.hasPrefix(place) ? error.message : place + error.message
        if lines.count < Self.limit {
            lines.append(message)
            param = param ?? error.param
        }
        let part = files[file] ?? files.count
        files[file] = part
        var told = error
        told.message = message
        do {
            try badRows.add(told, file: file, line: line, part: part, row: line, column: error.param, value: start)
        } catch is MartletError where badRows.isFull {
            // `check` tells of them together.
        }
    }

    /// Throws `invalidData` with a line for each fault, where there is one.
    func check() throws {
        guard !lines.isEmpty else { return }
        let more =
            badRows.count > lines.count
            ? "\nthe list stopped after \(Self.limit) faults; mend these and look again" : ""
        throw MartletError(.invalidData, lines.joined(separator: "\n") + more, param: param)
    }
}
