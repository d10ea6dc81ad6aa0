import Foundation
import MartletStore
import MartletWire
import Synchronization
import Testing

@Suite final class StoreTests {
    let path = NSTemporaryDirectory() + "martlet-\(UUID().uuidString.prefix(8)).sqlite"

    deinit { remove() }

    private func remove() {
        for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + end) }
    }

    @Test func theAuditChainNamesTheFirstRowThatWasTouched() async throws {
        defer { remove() }
        let store = try Store(path: path)
        for number in 1...5 {
            try await store.appendAudit(
                time: Date(timeIntervalSince1970: 1), project: "p", key: "k", action: "a\(number)", resource: "r",
                outcome: "allowed")
        }
        #expect(try await store.verifyAudit() == AuditVerification(rowCount: 5))
        let rows = try await store.audit(project: nil, before: nil, limit: 10)
        #expect(rows.map(\.sequence) == [5, 4, 3, 2, 1])
        #expect(rows[0].previousHash == rows[1].hash)
        try await store.alter("UPDATE audit SET resource = 'other' WHERE sequence = 3")
        #expect(try await store.verifyAudit().firstBadSequence == 3)
        try await store.alter("UPDATE audit SET resource = 'r' WHERE sequence = 3")
        #expect(try await store.verifyAudit().isWhole)
        try await store.alter("DELETE FROM audit WHERE sequence = 5")
        #expect(try await store.verifyAudit().firstBadSequence == 5)
    }

    @Test func othersGetTheDatabaseWhileTheAuditChainIsWalked() async throws {
        defer { remove() }
        let store = try Store(path: path)
        @Sendable func append(_ action: String) async throws {
            try await store.appendAudit(
                time: Date(timeIntervalSince1970: 1), project: "p", key: "k", action: action, resource: "r",
                outcome: "allowed")
        }
        for number in 1...6 { try await append("a\(number)") }
        let written = Mutex(0)
        let result = try await store.verifyAudit(pageRows: 2) {
            let turn = written.withLock { written in
                written += 1
                return written
            }
            if turn <= 2 { try await append("meanwhile") }
        }
        #expect(result == AuditVerification(rowCount: 8))
        #expect(written.withLock { $0 } == 4)
        for (damage, place) in [
            ("UPDATE audit SET resource = 'other' WHERE sequence = 4", 4), ("DELETE FROM audit WHERE sequence = 3", 3),
            ("UPDATE audit SET sequence = 0 WHERE sequence = 1", 1), ("DELETE FROM audit", 1),
        ] {
            try await store.alter(damage)
            #expect(try await store.verifyAudit(pageRows: 2).firstBadSequence == place, "\(damage)")
        }
    }

    @Test func aDatabaseOfANewerMartletIsRefused() async throws {
        defer { remove() }
        try await Store(path: path).alter("INSERT INTO grdb_migrations VALUES ('99')")
        #expect {
            _ = try Store(path: path)
        } throws: { error in
            (error as? MartletError)?.code == .conflict && "\(error)".contains("newer Martlet")
        }
    }

    @Test func whatIsNotADatabaseIsNamedAndLeftAlone() throws {
        defer { remove() }
        let bytes = Data(String(repeating: "not a database ", count: 100).utf8)
        try bytes.write(to: URL(fileURLWithPath: path))
        #expect(throws: MartletError.self) { _ = try Store(path: path) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == bytes)
    }

    @Test func everythingThatWasAcknowledgedIsInACopyTakenAtThatMoment() async throws {
        defer { remove() }
        let store = try Store(path: path)
        let copy = path + ".copy"
        defer { for end in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: copy + end) } }
        for number in 1...50 {
            try await store.insert(ProjectInfo(id: "p\(number)", name: "n\(number)", createdAt: Date()))
            guard number % 10 == 0 else { continue }
            // What a crash would leave: the files as they lie, without the memory of the process.
            for end in ["", "-wal"] {
                try? FileManager.default.removeItem(atPath: copy + end)
                try FileManager.default.copyItem(atPath: path + end, toPath: copy + end)
            }
            try? FileManager.default.removeItem(atPath: copy + "-shm")
            let after = try Store(path: copy)
            #expect(try await after.isSound())
            #expect(try await after.projects().count == number)
        }
    }

    @Test func aNameIsTakenOnce() async throws {
        defer { remove() }
        let store = try Store(path: path)
        try await store.insert(ProjectInfo(id: "a", name: "'; DROP TABLE projects; --", createdAt: Date()))
        await #expect(throws: MartletError.self) {
            try await store.insert(ProjectInfo(id: "b", name: "'; DROP TABLE projects; --", createdAt: Date()))
        }
        #expect(try await store.projects().count == 1)
    }
}
