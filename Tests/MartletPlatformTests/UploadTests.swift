import Foundation
import MartletPlatform
import MartletWire
import NIOCore
import Synchronization
import Testing

@Suite("Files that come in parts") struct UploadTests {
    private func incoming(_ bench: Bench, _ text: String) throws -> IncomingFile {
        let file = try bench.platform.files.begin(by: bench.admin)
        try file.append(Array(text.utf8))
        return file
    }

    @Test func anUploadSurvivesARestartAndACollection() async throws {
        let bench = try await Bench()
        let upload = try await bench.platform.uploads.create(
            filename: "a.txt", purpose: .userData, mimeType: "text/plain", byteCount: 6, by: bench.admin)
        let first = try await bench.platform.uploads.addPart(
            incoming(bench, "abc"), to: upload.id, by: bench.admin)
        try await bench.stop(keep: true)

        let again = try await Bench(home: bench.home)
        _ = try await again.platform.garbage.collect(dryRun: false, by: again.admin)
        let second = try await again.platform.uploads.addPart(
            incoming(again, "def"), to: upload.id, by: again.admin)
        let (done, file) = try await again.platform.uploads.complete(
            upload.id, partIDs: [first.id, second.id], by: again.admin)
        #expect(done.status == .completed && file.byteCount == 6)
        // The parts are garbage now, and the file is not.
        let report = try await again.platform.garbage.collect(dryRun: false, by: again.admin)
        #expect(report.removedCount == 2 && report.rows.contains { $0.kind == "file" && $0.byteCount == 6 })
        let content = try await again.platform.files.content(of: file.id, by: again.admin)
        #expect(try String(contentsOfFile: content.localPath, encoding: .utf8) == "abcdef")
        #expect(content.contentType == "text/plain; charset=utf-8")
        try await again.stop()
    }

    /// What a sender that went away left behind neither fills the places of others nor the disk.
    @Test func uploadsOfADatasetThatNobodySendsToAreForgotten() async throws {
        let time = Mutex(Date())
        let bench = try await Bench(
            clock: PlatformClock(now: { time.withLock { $0 } }, sleep: { try await Task.sleep(for: $0) }))
        let datasets = bench.platform.datasets
        _ = try await bench.platform.projects.create(name: "other", by: bench.admin)
        let stranger = try await bench.principal(.developer, project: "other")
        let first = try await datasets.beginVersion(name: "d", by: stranger)
        let chunk = AsyncStream<ByteBuffer> {
            $0.yield(ByteBuffer(string: "abc")); $0.finish()
        }
        _ = try await datasets.addFile(upload: first, path: "a.csv", body: chunk, by: stranger)
        for _ in 1..<256 { _ = try await datasets.beginVersion(name: "d", by: stranger) }
        #expect(await code { _ = try await datasets.beginVersion(name: "d", by: stranger) } == .rateLimited)
        // Another project has places of its own.
        _ = try await datasets.beginVersion(name: "d", by: bench.admin)
        _ = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin)
        time.withLock { $0 += 3601 }
        let next = try await datasets.beginVersion(name: "d", by: stranger)
        #expect(await code { _ = try await datasets.commit(upload: first, by: stranger) } == .notFound)
        let report = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin)
        #expect(report.removedCount == 1)
        try await datasets.abandon(upload: next, by: stranger)
        try await bench.stop()
    }

    @Test func filesThatComeTogetherAreNotMoreThanOneUploadMayHave() async throws {
        let bench = try await Bench { $0.uploadLimitBytes = 10 }
        let datasets = bench.platform.datasets
        let upload = try await datasets.beginVersion(name: "d", by: bench.admin)
        func send(_ path: String, _ body: AsyncStream<ByteBuffer>) async -> MartletError.Code? {
            await code { _ = try await datasets.addFile(upload: upload, path: path, body: body, by: bench.admin) }
        }
        // Each begins when there is room for it.
        let bodies = (0..<3).map { _ in AsyncStream<ByteBuffer>.makeStream() }
        let codes = await withTaskGroup(of: MartletError.Code?.self) { group in
            for (index, body) in bodies.enumerated() {
                group.addTask { await send("\(index).csv", body.stream) }
                body.continuation.yield(ByteBuffer(string: "abc"))
            }
            try? await Task.sleep(for: .milliseconds(100))
            for body in bodies {
                body.continuation.yield(ByteBuffer(string: "d"))
                body.continuation.finish()
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let (taken, refused) = (codes.filter { $0 == nil }, codes.filter { $0 == .tooLarge })
        #expect(taken.count == 2 && refused.count == 1)
        let stored = try await datasets.commit(upload: upload, by: bench.admin)
        #expect(stored.files.count == 2 && stored.files.allSatisfy { $0.byteCount == 4 })

        // One that is sent again takes the place of the first, however little room is left.
        let again = try await datasets.beginVersion(name: "d", by: bench.admin)
        for text in ["0123456", "abcdefghij"] {
            _ = try await datasets.addFile(upload: again, path: "a.csv", body: body(text), by: bench.admin)
        }
        #expect(try await datasets.commit(upload: again, by: bench.admin).files.map(\.byteCount) == [10])
        try await bench.stop()
    }

    @Test func whatWasSentIsKeptUntilAnImportBegins() async throws {
        let bench = try await Bench()
        let imports = bench.platform.imports
        let upload = try await imports.begin(name: "m", by: bench.admin)
        func send(_ path: String) async throws {
            _ = try await imports.addFile(upload: upload, path: path, body: body("{}"), by: bench.admin)
        }
        try await send("config.json")
        #expect(await code { _ = try await imports.commit(upload: upload, by: bench.admin) } == .invalidData)
        try await send("model.safetensors")
        let missing = await code { _ = try await imports.commit(upload: upload, base: "gone", by: bench.admin) }
        #expect(missing == .notFound)
        _ = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin)
        let job = try await imports.commit(upload: upload, by: bench.admin)
        #expect(job.kind == .import)
        #expect(await code { _ = try await imports.commit(upload: upload, by: bench.admin) } == .notFound)
        try await bench.stop()
    }

    /// The version is there, and its description can wait.
    @Test func aDatasetIsRegisteredThoughTheQueueOfJobsIsFull() async throws {
        let bench = try await Bench { $0.maxQueuedJobs = 0 }
        let dataset = try await bench.addDataset("d", ["data.csv": "x,y\n1,2\n"])
        #expect(dataset.version == 1 && dataset.profileJob == nil)
        #expect(try await bench.platform.datasets.show("d@1", by: bench.admin).contentHash == dataset.contentHash)
        try await bench.stop()
    }
}
