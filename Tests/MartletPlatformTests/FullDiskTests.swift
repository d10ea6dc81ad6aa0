import Foundation
import Glibc
import MartletPlatform
import MartletTesting
import MartletWire
import Testing

/// A small file system of its own to fill, such as a tmpfs of 16 MB; `make test-long` names one.
private let smallDisk = ProcessInfo.processInfo.environment["MARTLET_TEST_SMALL_DISK"]

@Suite(.serialized, .enabled(if: smallDisk != nil)) struct FullDiskTests {
    /// Takes all room that is left; the file's removal gives it back.
    private func fill(_ disk: String) throws -> String {
        let path = disk + "/filler"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        for size in [1 << 16, 512, 1] {
            let bytes = [UInt8](repeating: 7, count: size)
            while write(descriptor, bytes, size) == size {}
        }
        return path
    }

    @Test("D04: files are refused by name on a full disk, read and deleted, and taken again without a restart")
    func files() async throws {
        let disk = try #require(smallDisk)
        let bench = try await Bench(home: disk + "/home")
        let files = bench.platform.files
        func upload(_ letter: String) async throws -> FileInfo {
            let file = try files.begin(by: bench.admin)
            try file.append(Array(String(repeating: letter, count: 2 << 20).utf8))
            return try await files.create(file, filename: letter, purpose: .userData, by: bench.admin)
        }
        let (first, second) = (try await upload("a"), try await upload("b"))
        let filler = try fill(disk)
        // Until the database has no room in its log either.
        var refused: MartletError.Code?
        for number in 0..<2000 where refused != .storageFull {
            refused = await code {
                _ = try await bench.platform.uploads.create(
                    filename: "u\(number)", purpose: .userData, mimeType: String(repeating: "m", count: 60_000),
                    byteCount: 1, by: bench.admin)
            }
            if refused == .rateLimited { break }
        }
        #expect(await code { _ = try await upload("c") } == .storageFull)
        #expect(try await files.list(by: bench.admin).data.count == 2)
        let content = try await files.content(of: first.id, by: bench.admin)
        #expect(FileManager.default.contents(atPath: content.localPath)?.count == 2 << 20)
        try await files.delete(first.id, by: bench.admin)
        #expect(await code { _ = try await files.show(first.id, by: bench.admin) } == .notFound)
        let report = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin)
        #expect(report.removedBytes == 2 << 20)
        _ = try await upload("c")
        try await files.delete(second.id, by: bench.admin)
        unlink(filler)
        let verified = try await bench.platform.audit.verify(by: bench.admin)
        #expect(verified.isWhole)
        try await bench.stop()
    }

    @Test func nothingAcknowledgedIsLostAndAJobGoesOnWhenThereIsRoomAgain() async throws {
        let disk = try #require(smallDisk)
        let bench = try await Bench(home: disk + "/home")
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining()
        let (connection, task) = try await worker.dial()
        let filler = try fill(disk)
        let big = String(repeating: "x", count: 1 << 20)
        #expect(await code { _ = try await bench.addDataset("e", ["big.csv": big]) } == .storageFull)
        let refused = await code {
            let file = try bench.platform.files.begin(by: bench.admin)
            try file.append(Array(big.utf8))
            _ = try await bench.platform.files.create(
                file, filename: "e.jsonl", purpose: .fineTune, by: bench.admin)
        }
        #expect(refused == .storageFull)
        #expect(try await bench.platform.files.list(by: bench.admin).data.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.home + "/blobs/incoming").isEmpty)

        // Events pile up until the database has no room either; each waits for its acknowledgement.
        let events = Task {
            for number in 1...30 {
                let event = JobEvent(
                    key: "e\(number)", type: "message", message: String(repeating: "m", count: 300_000))
                try await connection.request(.event(event))
            }
        }
        try await Task.sleep(for: .seconds(3))
        unlink(filler)
        try await events.value
        let kept = try await bench.platform.jobs.events(of: job.id, by: bench.admin).data
        #expect(kept.filter { $0.event.key.hasPrefix("e") }.count == 30)

        let again = try fill(disk)
        try await connection.request(.fail(MartletError(.storageFull, "the disk is full; free some space")))
        worker.kill()
        #expect(try await bench.state(job.id) == .paused)
        unlink(again)
        try await eventually { (try? await bench.platform.jobs.resume(job.id, by: bench.admin).state) == .running }
        let second = try #require(await bench.engine.next())
        let (returned, _) = try await second.dial()
        try await bench.finish(returned, task)
        #expect(try await bench.state(job.id) == .succeeded)
        second.kill()
        try await bench.stop()
    }
}
