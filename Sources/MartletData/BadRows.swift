import Foundation
import MartletWire

/// Rows that cannot be used, collected up to a number while the others are read on; a job writes them to a file.
public final class BadRows {
    /// One row, as a line of the file.
    public struct Entry: Codable, Sendable, Equatable {
        public var file: String
        /// Counted from 1; 0 where the source has no lines.
        public var line: Int
        public var column: String?
        /// The cell, or the start of the row where no one cell is at fault: at most 80 bytes of it.
        public var value: String?
        public var reason: String
    }

    private struct Place: Hashable {
        var part: Int
        var row: Int
    }

    /// Rows after which reading stops.
    public let limit: Int
    private var found: [(place: Place, entry: Entry)] = []
    private var places: Set<Place> = []
    private var first: MartletError?

    public static let usualLimit = 1000

    public init(limit: Int = BadRows.usualLimit) { self.limit = max(1, limit) }

    public var isEmpty: Bool { found.isEmpty }
    public var count: Int { found.count }
    /// Whether reading stopped because of the limit, so that there may be more.
    public var isFull: Bool { found.count >= limit }

    /// The rows in the order of the files.
    public var entries: [Entry] {
        found.sorted { ($0.place.part, $0.place.row) < ($1.place.part, $1.place.row) }.map(\.entry)
    }

    /// What was found first, which stands for all of them. Throws where there is something.
    public func check() throws {
        if let first { throw first }
    }

    /// Keeps a row, once however many passes find it.
    /// - Parameters:
    ///   - part: the number of its file.
    ///   - row: its place in the file.
    /// - Throws: the first row's error when the limit is reached.
    package func add(
        _ error: MartletError, file: String, line: Int, part: Int, row: Int, column: String? = nil, value: String? = nil
    ) throws {
        guard places.insert(Place(part: part, row: row)).inserted else { return }
        first = first ?? error
        let entry = Entry(
            file: file, line: line, column: column, value: value.map(Self.cut), reason: Self.reason(error.message))
        found.append((Place(part: part, row: row), entry))
        if isFull { try check() }
    }

    /// A message without the file and line before it, which have fields of their own.
    private static func reason(_ message: String) -> String {
        guard let mark = message.range(of: ": ") else { return message }
        let head = message[..<mark.lowerBound]
        return head.contains(", line ") || head.contains(", column '") ? String(message[mark.upperBound...]) : message
    }

    private static func cut(_ value: String) -> String {
        value.utf8.count <= 80 ? value : String(decoding: value.utf8.prefix(80), as: UTF8.self) + "…"
    }

    /// Writes one JSON object a line, which no spreadsheet takes for a formula. Throws `storageFull`.
    public func write(to path: String) throws {
        var text = ""
        for entry in entries {
            text += try JSON(encoding: entry).serialized()
            text += "\n"
        }
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw MartletError(.storageFull, "the file of bad rows cannot be written; check space and rights")
        }
    }
}

/// What looks on while data is read.
public struct ReadingWatch {
    /// Asked at least every few hundred rows; throws where reading is to end.
    public var goOn: () throws -> Void
    /// Takes the rows that cannot be used; without it the first one ends the reading.
    public var badRows: BadRows?

    public init(badRows: BadRows? = nil, goOn: @escaping () throws -> Void = {}) {
        self.badRows = badRows
        self.goOn = goOn
    }

    /// Runs what reads. Where rows could not be used, they are what is told, and not what followed from leaving them out.
    package func read<Result>(_ body: () throws -> Result) throws -> Result {
        let result: Result
        do {
            result = try body()
        } catch let error as MartletError where error.code != .storageFull {
            try badRows?.check()
            throw error
        }
        try badRows?.check()
        return result
    }
}
