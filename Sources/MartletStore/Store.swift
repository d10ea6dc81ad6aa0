import Foundation
import GRDB
import Glibc
import MartletWire
import Synchronization

/// The platform's database: one file, one connection, every statement with parameters.
///
/// One connection on purpose: SQLite from 3.7.0 to 3.51.2 can corrupt a database in WAL mode when two connections
/// write or checkpoint at the same time.
public final class Store: Sendable {
    let queue: DatabaseQueue
    private let isClosed = Atomic(false)

    /// Opens or creates the database at `path` and brings its schema up to date.
    ///
    /// Before a migration of a database that holds data, a copy is left beside it. Throws `conflict` for a database
    /// that a newer Martlet wrote, `storageFull`, or `internal` for one that cannot be read.
    public init(path: String) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = true
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { db in
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            try db.execute(sql: "PRAGMA synchronous = FULL")
        }
        // SQLite gives its other files the same mode.
        Glibc.close(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600))
        do {
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try Self.migrate(queue, path: path)
        } catch let error as DatabaseError {
            throw Self.plain(error)
        }
    }

    func read<Value: Sendable>(_ body: @Sendable @escaping (Database) throws -> Value) async throws -> Value {
        do {
            return try await queue.read { db in
                try self.checkOpen()
                return try body(db)
            }
        } catch let error as DatabaseError {
            throw Self.plain(error)
        }
    }

    func write<Value: Sendable>(_ body: @Sendable @escaping (Database) throws -> Value) async throws -> Value {
        do {
            return try await queue.write { db in
                try self.checkOpen()
                return try body(db)
            }
        } catch let error as DatabaseError {
            throw Self.plain(error)
        }
    }

    /// What `make` gives of each row that a statement finds.
    func all<Value: Sendable>(
        _ sql: String, _ arguments: StatementArguments = [], _ make: @Sendable @escaping (Row) throws -> Value
    ) async throws -> [Value] {
        try await read { db in try Row.fetchAll(db, sql: sql, arguments: arguments).map(make) }
    }

    /// The same of the first row; nil where there is none.
    func first<Value: Sendable>(
        _ sql: String, _ arguments: StatementArguments = [], _ make: @Sendable @escaping (Row) throws -> Value
    ) async throws -> Value? {
        try await read { db in try Row.fetchOne(db, sql: sql, arguments: arguments).map(make) }
    }

    /// Runs one statement; whether it changed a row.
    @discardableResult
    func execute(_ sql: String, _ arguments: StatementArguments = []) async throws -> Bool {
        try await write { db in
            try db.execute(sql: sql, arguments: arguments)
            return db.changesCount > 0
        }
    }

    /// As many whole rows as a page may have, with whether there are more: `limit` of them, or fewer where they have more
    /// than `byteLimit` bytes; at least one. `sizes` has one row more than `limit` where there are more.
    static func page<Value>(
        _ sizes: [Row], limit: Int, byteLimit: Int, _ whole: (Row) throws -> Value?
    ) rethrows -> ([Value], Bool) {
        var (page, byteCount): ([Value], Int) = ([], 0)
        for size in sizes.prefix(limit) {
            byteCount += size["size"] as Int
            guard page.isEmpty || byteCount <= byteLimit else { break }
            if let value = try whole(size) { page.append(value) }
        }
        return (page, sizes.count > page.count)
    }

    /// Whether SQLite finds the file sound.
    package func isSound() async throws -> Bool {
        try await read { db in try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok" }
    }

    /// Runs one statement without parameters, for tests that damage a database on purpose.
    package func alter(_ statement: String) async throws {
        try await write { db in try db.execute(sql: statement) }
    }

    /// Folds the log into the database; whatever comes later is refused. The connection goes with the object, so that a
    /// late caller finds it there.
    package func close() throws {
        guard !isClosed.exchange(true, ordering: .sequentiallyConsistent) else { return }
        try queue.writeWithoutTransaction { db in _ = try db.checkpoint(.truncate) }
    }

    private func checkOpen() throws {
        guard !isClosed.load(ordering: .sequentiallyConsistent) else {
            throw MartletError(.unavailable, "martlet serve is stopping; try again soon")
        }
    }

    static func plain(_ error: DatabaseError) -> MartletError {
        switch error.resultCode {
        case .SQLITE_FULL:
            MartletError(.storageFull, "the disk that holds Martlet's database is full; free some space and try again")
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            MartletError(.internal, "Martlet's database is damaged; restore the copy from your last backup")
        case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM:
            MartletError(.internal, "Martlet's database cannot be opened for writing; check who owns MARTLET_HOME")
        case .SQLITE_CONSTRAINT:
            MartletError(.conflict, "something else was stored under the same name meanwhile; look again and repeat")
        default:
            MartletError(
                .internal, "the database failed with SQLite's code \(error.extendedResultCode.rawValue); see the log")
        }
    }
}

/// Stored values as JSON text.
enum Stored {
    static func text(_ value: some Encodable) throws -> String {
        String(decoding: try JSONEncoder.wire.encode(value), as: UTF8.self)
    }

    static func value<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        do {
            return try JSONDecoder.wire.decode(type, from: Data(text.utf8))
        } catch {
            throw MartletError(.internal, "a stored \(type) cannot be read back; restore the database from a backup")
        }
    }

    static func json(_ text: String?) throws -> JSON? {
        guard let text else { return nil }
        return try JSONParser.parse(text, limits: .trusted)
    }
}

extension Row {
    func date(_ column: String) -> Date { Date(timeIntervalSince1970: self[column]) }
    func optionalDate(_ column: String) -> Date? {
        (self[column] as Double?).map { Date(timeIntervalSince1970: $0) }
    }
}
