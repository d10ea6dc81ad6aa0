import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Training whose worker or server is killed: it goes on by itself and ends with the same bits.
    @Suite struct KilledJobs {
        /// So many that the last kill finds a worker, which tells of thousands of steps in a second.
        private static let epochs = 1200
        private static let stepsPerEpoch = 18
        private static let recipe = TinyData.recipe(epochs: epochs)

        /// The last step that the job has told of.
        private static func step(_ home: TestHome, _ id: String) throws -> Int {
            try home.job(id)["progress"]?["step"]?.int ?? 0
        }

        private static func checkHistory(_ home: TestHome, _ id: String) throws {
            let faults = JobHistory.faults(
                try home.events(id), epochs: epochs, stepsPerEpoch: stepsPerEpoch, checkpointEvery: 200)
            #expect(faults.isEmpty, "\(faults)")
        }

        @Test func J02_aWorkerKilledThreeTimesEndsWithTheSameBits() async throws {
            try await TestHome.with { home in
                try home.addBirds()
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")

                let id = try home.detach(Self.recipe)
                let total = Self.epochs * Self.stepsPerEpoch
                var killed: Set<pid_t> = []
                var places: [Int] = []
                for part in 1...3 {
                    let from = total * part / 5 + Int.random(in: 0..<total / 6)
                    let pid: pid_t = try waitUntil("step \(from)", seconds: 60, every: 0.005) {
                        guard try Self.step(home, id) >= from else { return nil }
                        return home.workers.first { !killed.contains($0) }
                    }
                    kill(pid, SIGKILL)
                    killed.insert(pid)
                    places.append(from)
                }
                let job = try home.finished(id)
                #expect(job["state"]?.string == "succeeded", "killed at \(places): \(job["error"] ?? .null)")
                #expect(job["attempts"]?.int == 4, "killed at \(places)")
                let model = try #require(job["model"]?.string)
                let found = try home.fingerprint(model)
                #expect(found.weights == expected.weights, "killed at \(places)")
                #expect(found.metrics == expected.metrics, "killed at \(places)")
                try Self.checkHistory(home, id)
            }
        }

        @Test func J06_aJobOutlivesItsKilledServerAndRunsOnce() async throws {
            try await TestHome.with { home in
                try home.serve()
                try home.addBirds()
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet)["state"]?.string == "succeeded")
                let expected = try home.fingerprint("birds@1")

                let id = try home.detach(Self.recipe)
                let watch = WorkerWatch(home)
                try waitUntil("the first checkpoint", seconds: 60) { try Self.step(home, id) > 600 }
                let server = try #require(home.owner?.pid)
                kill(server, SIGKILL)
                try waitUntil("the server's end", seconds: 60) { !ProcessTable.isAlive(server) }
                usleep(300_000)
                _ = try home.start(["serve", "--listen", "127.0.0.1:0"])
                var states: Set<String> = []
                let time = try countedUntil("a worker that is back, or the end") {
                    // Until it answers there is no server.
                    guard let state = try? home.job(id)["state"]?.string else { return false }
                    states.insert(state)
                    return state == "succeeded" || !home.workers.isEmpty
                }
                #expect(time < 5)
                #expect(states.isSubset(of: ["queued", "running", "succeeded"]), "\(states)")
                let job = try home.finished(id)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                #expect(try watch.stop() == 1, "one worker at any time")
                let found = try home.fingerprint(try #require(job["model"]?.string))
                #expect(found.weights == expected.weights)
                #expect(found.metrics == expected.metrics)
                try Self.checkHistory(home, id)
                #expect(try home.get("/api/v1/jobs")["data"]?.array?.count == 3, "the profile and two trainings")
                #expect(try home.json("audit", "verify")["first_bad_sequence"]?.isNull ?? true)
            }
        }
    }
}
