import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension LongTests {
    /// A home on a file system that is full for a while.
    @Suite struct FullDisk {
        /// A tmpfs of its own, which only root may mount.
        private static func withDisk(megabytes: Int, _ body: @Sendable (String) async throws -> Void) async throws {
            let path = "/tmp/md-\(getpid())-\(UInt16.random(in: 0..<(.max)))"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            defer { rmdir(path) }
            guard mount("tmpfs", path, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
                throw HarnessError("a tmpfs cannot be mounted: \(String(cString: strerror(errno)))")
            }
            defer { umount2(path, CInt(MNT_DETACH)) }
            try await body(path)
        }

        private static func fill(_ path: String) throws {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw HarnessError("the filler cannot be made") }
            defer { close(descriptor) }
            for size in [1 << 16, 512, 1] {
                let bytes = [UInt8](repeating: 7, count: size)
                while write(descriptor, bytes, size) == size {}
            }
        }

        @Test(.enabled(if: geteuid() == 0, "only root may mount a file system to fill"))
        func J05_D04_aJobPausesOnAFullDiskKeepsItsCheckpointAndGoesOn() async throws {
            try await Self.withDisk(megabytes: 48) { disk in
                try await TestHome.with(parent: disk) { home in
                    let recipe = TinyData.recipe(epochs: 1500)
                    try home.addBirds()
                    let quiet = try home.detach(recipe)
                    _ = try home.finished(quiet, seconds: 200)
                    let expected = try home.fingerprint("birds@1")
                    let id = try home.detach(recipe)
                    try waitUntil("some checkpoints", seconds: 60) {
                        try (home.job(id)["progress"]?["step"]?.int ?? 0) > 900
                    }
                    let filler = disk + "/filler"
                    try Self.fill(filler)
                    // The database may wait for room too; reads must work all the same.
                    let paused = try waitUntil("the pause", seconds: 60) {
                        let job = try home.job(id)
                        return job["state"]?.string == "paused" ? job : Optional.none
                    }
                    #expect(paused["error"]?["code"]?.string == "storage_full", "\(paused["error"] ?? .null)")
                    #expect(try home.http().get("/health/ready").status == 200)
                    let folder = "\(home.home)/run/jobs/\(id)/checkpoints"
                    let kept = try FileManager.default.contentsOfDirectory(atPath: folder)
                    #expect(kept.contains { $0.hasPrefix("step-") }, "\(kept)")
                    unlink(filler)
                    try waitUntil("the resumption", seconds: 60) {
                        try home.run("jobs", "resume", id).code == 0
                            && home.job(id)["state"]?.string != "paused"
                    }
                    let job = try home.finished(id, seconds: 200)
                    #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                    let found = try home.fingerprint(try #require(job["model"]?.string))
                    #expect(found.weights == expected.weights)
                    #expect(found.metrics == expected.metrics)
                    let faults = JobHistory.faults(
                        try home.events(id), epochs: 1500, stepsPerEpoch: 18, checkpointEvery: 200)
                    #expect(faults.isEmpty, "\(faults.prefix(10))")
                }
            }
        }
    }
}
