import Foundation
import Glibc
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite(.serialized) struct TenancyTests {
    @Test func anotherTenantsJobIsAsUnknownAsNoJobAndTheAttemptIsWrittenDown() async throws {
        let bench = try await Bench()
        _ = try await bench.platform.projects.create(name: "other", by: bench.admin)
        let stranger = try await bench.principal(.developer, project: "other")
        let dataset = try await bench.addDataset("d", ["data.csv": "x,y\n1,2\n"])
        let id = try #require(dataset.profileJob)
        func message(_ id: String) async -> String {
            do {
                _ = try await bench.platform.jobs.cancel(id, by: stranger)
                return "cancelled"
            } catch {
                return "\(error)"
            }
        }
        let unknown = "job_" + String(repeating: "0", count: 24)
        #expect(await message(id) == message(unknown).replacingOccurrences(of: unknown, with: id))
        #expect(try await bench.state(id) != .cancelled)
        #expect(await code { _ = try await bench.platform.datasets.show("d", by: stranger) } == .notFound)
        #expect(await code { _ = try await bench.platform.datasets.delete("d", by: stranger) } == .notFound)
        #expect(try await bench.platform.datasets.list(by: stranger).isEmpty)
        #expect(try await bench.platform.jobs.list(by: stranger).data.isEmpty)
        #expect(
            await code {
                _ = try await bench.platform.jobs.submit(
                    JobRequest(kind: .train, recipe: bench.recipe()), by: stranger)
            } == .notFound)
        let rows = try await bench.platform.audit.list(by: bench.admin).data
        #expect(rows.contains { $0.outcome == "denied" && $0.resource == id && $0.key == stranger.keyID })
        #expect(try await bench.platform.audit.verify(by: bench.admin).isWhole)
        try await bench.stop()
    }

    @Test func keysAreShownOnceCheckedAndRevoked() async throws {
        let bench = try await Bench()
        let keys = bench.platform.keys
        let made = try await keys.create(name: "ci", role: .inference, by: bench.admin)
        let secret = try #require(made.secret)
        let principal = try await keys.authenticate(secret)
        #expect(principal.role == .inference && principal.keyID == made.id)
        #expect(try await keys.list(by: bench.admin).allSatisfy { $0.secret == nil })
        let mistyped = String(secret.dropLast()) + (secret.hasSuffix("0") ? "1" : "0")
        for wrong in ["", "' OR 1=1--", "mk_", secret + "x", mistyped, secret.uppercased()] {
            #expect(await code { _ = try await keys.authenticate(wrong) } == .unauthenticated)
        }
        #expect(await code { _ = try await keys.create(name: "x", role: .admin, by: principal) } == .forbidden)
        #expect(await code { _ = try await bench.platform.jobs.list(by: principal) } == .forbidden)
        _ = try await keys.revoke(made.id, by: bench.admin)
        #expect(await code { _ = try await keys.authenticate(secret) } == .unauthenticated)
        let database = try Data(contentsOf: URL(fileURLWithPath: bench.home + "/martlet.sqlite-wal"))
        #expect(database.range(of: Data(secret.dropFirst(12).prefix(43).utf8)) == nil)
        var status = stat()
        #expect(stat(bench.home + "/admin.key", &status) == 0 && status.st_mode & 0o777 == 0o600)
        #expect(stat(bench.home, &status) == 0 && status.st_mode & 0o777 == 0o700)
        try await bench.stop()
    }

    @Test func aHomeHasOneOwnerWhoIsNamed() async throws {
        let bench = try await Bench()
        try bench.platform.announce(url: "http://127.0.0.1:9")
        #expect(HomeOwner.current(home: bench.home) == HomeOwner(pid: getpid(), url: "http://127.0.0.1:9"))
        do {
            _ = try await Bench(home: bench.home)
            Issue.record("two owners")
        } catch let error as MartletError {
            #expect(error.code == .conflict)
            #expect(error.message.contains("\(getpid()) at http://127.0.0.1:9"))
        }
        try await bench.stop(keep: true)
        #expect(HomeOwner.current(home: bench.home) == nil)
        try? FileManager.default.removeItem(atPath: bench.home)
    }

    @Test func deletionKnowsWhatNeedsADatasetAndTheCollectorTakesOnlyWhatIsFree() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        _ = try await bench.train()
        let datasets = bench.platform.datasets
        do {
            try await datasets.delete("d", by: bench.admin)
            Issue.record("deleted")
        } catch let error as MartletError {
            #expect(error.code == .conflict && error.message.contains("model m@1"))
        }
        let before = try await bench.platform.garbage.collect(dryRun: true, by: bench.admin)
        #expect(!before.rows.contains { $0.kind == "unreferenced" })
        #expect(before.rows.contains { $0.kind == "dataset" && $0.project == "default" && $0.count == 1 })
        #expect(try await datasets.delete("d", force: true, by: bench.admin) == ["model m@1"])
        let upload = try await datasets.beginVersion(name: "open", by: bench.admin)
        let open = try await datasets.addFile(upload: upload, path: "a.txt", body: body("open"), by: bench.admin)
        let after = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin)
        #expect(after.rows.contains { $0.kind == "unreferenced" && $0.count == 1 && $0.byteCount == 8 })
        // What an open upload holds and what the model is made of are still there.
        #expect(try await datasets.commit(upload: upload, by: bench.admin).files == [open])
        let weights = try await bench.platform.models.file(BundleFile.weights, of: "m", by: bench.admin)
        #expect(FileManager.default.fileExists(atPath: weights.localPath))
        // A deleted version's number is never given again.
        #expect(try await bench.addDataset("d", ["data.csv": "x,y\n3,4\n"]).version == 2)
        try await bench.stop()
    }

    @Test func theCollectorLeavesAFolderThatIsLaidOutWhileItLooks() async throws {
        let bench = try await Bench()
        let late = Mutex("")
        _ = try await bench.platform.garbage.collect(dryRun: false, by: bench.admin) {
            // Its job reads the folder.
            let hash = try await bench.importDataset("late").contentHash
            late.withLock { $0 = hash }
        }
        let folder = bench.home + "/run/trees/" + late.withLock { $0 }
        #expect(FileManager.default.fileExists(atPath: folder + "/data.csv"))
        try await bench.stop()
    }

    @Test func uploadsKeepToTheirLimitAndToSafeNames() async throws {
        let bench = try await Bench { $0.uploadLimitBytes = 10 }
        let datasets = bench.platform.datasets
        let upload = try await datasets.beginVersion(name: "d", by: bench.admin)
        func add(_ path: String, _ text: String) async throws {
            _ = try await datasets.addFile(upload: upload, path: path, body: body(text), by: bench.admin)
        }
        try await add("a", "0123456789")
        #expect(await code { try await add("b", "1") } == .tooLarge)
        #expect(await code { try await add("../b", "") } == .invalidRequest)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.home + "/blobs/incoming").isEmpty)
        try await datasets.abandon(upload: upload, by: bench.admin)
        #expect(await code { _ = try await datasets.commit(upload: upload, by: bench.admin) } == .notFound)
        try await bench.stop()
    }

    @Test func aFailedProfileIsShownAndTheFilesStay() async throws {
        let bench = try await Bench()
        _ = try await bench.addDataset("d", ["data.csv": "x,y\n1\n"])
        let worker = try #require(await bench.engine.next())
        let (connection, task) = try await worker.dial()
        guard case .profile = task else {
            Issue.record("not a profile task")
            return
        }
        try await connection.request(.fail(MartletError(.invalidData, "data.csv, row 2 has 1 cell; 2 are expected")))
        worker.kill()
        let dataset = try await bench.platform.datasets.show("d", by: bench.admin)
        #expect(dataset.profile?["error"]?.string == "data.csv, row 2 has 1 cell; 2 are expected")
        #expect(dataset.files.count == 1)
        try await bench.stop()
    }
}
