import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension LongTests {
    /// A worker that dies while it writes a checkpoint, or finds a damaged one.
    @Suite struct Checkpoints {
        private static let strace = "/usr/bin/strace"
        private static let recipe = TinyData.recipe(epochs: 6)
            .replacing("200 steps", with: "10 steps, keep: 2")

        /// A home whose first worker of each job is killed at one system call, which the file `inject` names.
        private static func withInjection(_ body: @Sendable (TestHome) throws -> Void) async throws {
            try await TestHome.with { home in
                let script = """
                    #!/bin/sh
                    if [ "$1" = worker ] && [ -s \(home.folder)/inject ]; then
                        rule=$(cat \(home.folder)/inject)
                        rm -f \(home.folder)/inject
                        exec \(strace) -f -qq -o /dev/null -e trace=${rule%%:*} -e inject=$rule \(home.engineProgram) "$@"
                    fi
                    exec \(home.engineProgram) "$@"
                    """
                let wrapper = try home.write("engine", script + "\n")
                chmod(wrapper, 0o700)
                try home.write("h/config.yaml", "engine_path: \(wrapper)\n")
                try body(home)
            }
        }

        @Test(
            .enabled(if: access(strace, X_OK) == 0, "strace is not installed"), arguments: ["fsync", "rename", "write"])
        func J01_aKillAtAnyCallOfACheckpointLeavesTheOldOrTheNew(call: String) async throws {
            try await Self.withInjection { home in
                try home.addBirds()
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")
                var killed = 0
                for number in 1...40 {
                    try home.write("inject", "\(call):signal=SIGKILL:when=\(call == "write" ? number * 7 : number)")
                    let id = try home.detach(Self.recipe)
                    let job = try home.finished(id, seconds: 120)
                    #expect(job["state"]?.string == "succeeded", "\(call) \(number): \(job["error"] ?? .null)")
                    let found = try home.fingerprint(try #require(job["model"]?.string))
                    #expect(found.weights == expected.weights && found.metrics == expected.metrics, "\(call) \(number)")
                    let folder = "\(home.home)/run/jobs/\(id)/checkpoints"
                    let left = try FileManager.default.contentsOfDirectory(atPath: folder)
                    #expect(left.allSatisfy { $0.hasPrefix("step-") } && left.count <= 2, "\(call) \(number): \(left)")
                    let faults = JobHistory.faults(
                        try home.events(id), epochs: 6, stepsPerEpoch: 18, checkpointEvery: 10)
                    #expect(faults.isEmpty, "\(call) \(number): \(faults)")
                    // Past the last such call of the worker nothing dies any more.
                    if job["attempts"]?.int == 1 { break }
                    killed += 1
                }
                #expect(killed >= 3, "the calls were really hit")
            }
        }

        @Test(
            .enabled(if: access(strace, X_OK) == 0, "strace is not installed"),
            arguments: [("fsync", 9), ("fsync", 20), ("rename", 3)])
        func J05_anErrorOfTheDiskPausesTheJobAndItGoesOnToTheSameBits(call: String, number: Int) async throws {
            try await Self.withInjection { home in
                try home.addBirds()
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")
                try home.write("inject", "\(call):error=EIO:when=\(number)")
                let id = try home.detach(Self.recipe)
                let paused = try waitUntil("the pause", seconds: 60) {
                    let job = try home.job(id)
                    return job["state"]?.string == "paused" ? job : Optional.none
                }
                #expect(paused["error"]?["code"]?.string == "storage_full", "\(paused["error"] ?? .null)")
                #expect(paused["error"]?["message"]?.string?.contains("input/output error") == true)
                let folder = "\(home.home)/run/jobs/\(id)/checkpoints"
                let kept = try FileManager.default.contentsOfDirectory(atPath: folder)
                #expect(!kept.isEmpty && kept.allSatisfy { $0.hasPrefix("step-") }, "\(kept)")
                try home.json("jobs", "resume", id)
                let job = try home.finished(id, seconds: 120)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                let found = try home.fingerprint(try #require(job["model"]?.string))
                #expect(found.weights == expected.weights && found.metrics == expected.metrics)
            }
        }

        @Test func J02_twentyFiveKillsEndWithTheSameBits() async throws {
            try await TestHome.with { home in
                // 36,000 steps: the last kill is to come many reports of progress before the end.
                let epochs = 2000
                let recipe = TinyData.recipe(epochs: epochs)
                try home.addBirds()
                let quiet = try home.detach(recipe)
                #expect(try home.finished(quiet, seconds: 300)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")
                let id = try home.detach(recipe)
                var killed: Set<pid_t> = []
                for number in 1...25 {
                    // At least one checkpoint lies between two kills, as it does between real ones.
                    let from = number * 1000 + Int.random(in: 0..<600)
                    let pid: pid_t = try waitUntil("step \(from)", seconds: 120, every: 0.005) {
                        guard try (home.job(id)["progress"]?["step"]?.int ?? 0) >= from else { return nil }
                        return home.workers.first { !killed.contains($0) }
                    }
                    kill(pid, SIGKILL)
                    killed.insert(pid)
                }
                let job = try home.finished(id, seconds: 300)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                #expect(job["attempts"]?.int == 26)
                let found = try home.fingerprint(try #require(job["model"]?.string))
                #expect(found.weights == expected.weights)
                #expect(found.metrics == expected.metrics)
                let faults = JobHistory.faults(
                    try home.events(id), epochs: epochs, stepsPerEpoch: 18, checkpointEvery: 200)
                #expect(faults.isEmpty, "\(faults)")
            }
        }

        @Test(arguments: ["truncated", "a bit turned", "no manifest"])
        func J04_aDamagedNewestCheckpointIsPassedOver(how: String) async throws {
            try await TestHome.with { home in
                let recipe = TinyData.recipe(epochs: 400)
                try home.addBirds()
                let quiet = try home.detach(recipe)
                _ = try home.finished(quiet)
                let expected = try home.fingerprint("birds@1")
                let id = try home.detach(recipe)
                try waitUntil("some checkpoints", seconds: 60) {
                    try (home.job(id)["progress"]?["step"]?.int ?? 0) > 900
                }
                try home.json("jobs", "pause", id)
                try waitUntil("the pause", seconds: 60) { try home.job(id)["state"]?.string == "paused" }
                let folder = "\(home.home)/run/jobs/\(id)/checkpoints"
                let steps = try FileManager.default.contentsOfDirectory(atPath: folder)
                    .compactMap { Int($0.dropFirst("step-".count)) }
                let newest = try #require(steps.max())
                #expect(steps.count >= 2)
                let tensors = "\(folder)/step-\(newest)/tensors.safetensors"
                var data = try #require(FileManager.default.contents(atPath: tensors))
                switch how {
                case "truncated": try data.dropLast(100).write(to: URL(fileURLWithPath: tensors))
                case "a bit turned":
                    data[data.count / 2] ^= 1
                    try data.write(to: URL(fileURLWithPath: tensors))
                default: try FileManager.default.removeItem(atPath: "\(folder)/step-\(newest)/manifest.json")
                }
                try home.json("jobs", "resume", id)
                let job = try home.finished(id)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                let keys = try home.events(id).compactMap { $0["event"]?["key"]?.string }
                #expect(keys.contains("damaged-step-\(newest)"), "\(keys.suffix(20))")
                let found = try home.fingerprint(try #require(job["model"]?.string))
                #expect(found.weights == expected.weights)
                #expect(found.metrics == expected.metrics)
            }
        }
    }
}
