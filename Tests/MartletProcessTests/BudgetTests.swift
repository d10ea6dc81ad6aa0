import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// A training whose project has nothing left: it stops at a checkpoint and ends with the same bits.
    @Suite struct Budgets {
        private static let recipe = TinyData.recipe(epochs: 2000)

        @Test func J18_aJobWhoseBudgetIsSpentGoesOnWithTheSameBits() async throws {
            try await TestHome.with { home in
                try home.serve()
                try home.addBirds()
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")

                try waitUntil("the end of its worker", seconds: 60) { home.workers.isEmpty }
                let id = try home.detach(Self.recipe)
                let checkpoints = "\(home.home)/run/jobs/\(id)/checkpoints"
                let worker: pid_t = try waitUntil("some steps", seconds: 60, every: 0.002) {
                    let names = (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
                    return names.contains { $0.hasPrefix("step-") } ? home.workers.first : nil
                }
                // It stands still until it is asked to pause, however fast it is.
                kill(worker, SIGSTOP)
                let spent = try home.json("budget", "set", "default", "--cpu-seconds", "0.1")
                #expect((spent["used"]?["cpu_seconds"]?.double ?? 0) > 0.1)
                try waitUntil("the wish to pause", seconds: 60) { try home.job(id)["state"] == "pausing" }
                kill(worker, SIGCONT)
                let paused: JSON = try waitUntil("the pause", seconds: 60) {
                    let job = try home.job(id)
                    return job["state"] == "paused" ? job : Optional.none
                }
                #expect(paused["error"]?["code"] == "insufficient_quota", "\(paused.serialized())")
                let events = try home.events(id).compactMap { $0["event"]?["message"]?.string }
                #expect(events.contains { $0.hasPrefix("Paused: the budget of the project 'default'") })
                try waitUntil("the worker's end", seconds: 60) { home.workers.isEmpty }
                #expect(try home.run("jobs", "resume", id).code == 77)

                try home.json("budget", "set", "default", "--cpu-seconds", "1e9")
                try home.json("jobs", "resume", id)
                let job = try home.finished(id)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                let found = try home.fingerprint(try #require(job["model"]?.string))
                #expect(found.weights == expected.weights)
                #expect(found.metrics == expected.metrics)
            }
        }
    }
}
