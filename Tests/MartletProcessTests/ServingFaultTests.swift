import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Deployments under load whose replica dies, hangs or is replaced.
    @Suite struct ServingFaults {
        private static func load(_ home: TestHome) throws -> Load {
            let http = try home.http()
            return Load(threads: 4, pause: 0.002) {
                try http.post("/api/v1/deployments/birds/predict", json: TinyData.row)
            }
        }

        private static func replica(_ home: TestHome) throws -> pid_t {
            try #require(home.replicas.first)
        }

        /// The moment at which `count` replicas other than `gone` are seen to be ready.
        private static func ready(_ home: TestHome, _ count: Int, without gone: pid_t? = nil) throws -> Date {
            try waitUntil("\(count) replicas", seconds: 60, every: 0.005) {
                let states = try home.get("/api/v1/deployments/birds")["replica_states"]?.array ?? []
                let ready = states.filter { $0["state"] == "ready" && $0["pid"]?.int != gone.map { Int($0) } }
                return ready.count == count ? Date() : Optional.none
            }
        }

        @Test func L07_aKilledReplicaIsReplacedAndUntilThenRequestsGet503() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                let load = try Self.load(home)
                try waitUntil("answers", seconds: 60) { load.outcomes.count > 20 }
                let killed = try Self.replica(home)
                let killedAt = Date()
                kill(killed, SIGKILL)
                let readyAt = try Self.ready(home, 1, without: killed)
                try waitUntil("answers of the new one", seconds: 60) {
                    load.outcomes.count { $0.sent > readyAt } > 50
                }
                let shown = try home.get("/api/v1/deployments/birds")
                #expect(shown["replica_states"]?.array?.first?["restarts"]?.int == 1)
                // What a start takes on this machine, with the same load on it.
                let begun = Date()
                try home.json("deployments", "scale", "birds", "2")
                let start = try Self.ready(home, 2).timeIntervalSince(begun)

                let outcomes = try load.stop()
                let failures = outcomes.filter { $0.status != 200 }
                #expect(failures.allSatisfy { $0.status == 503 && $0.sent < readyAt }, "\(failures.prefix(3))")
                let away = readyAt.timeIntervalSince(killedAt)
                #expect(away < 5 || away < 3 * start, "\(away) s, and \(start) s for another one")
                let slowest = outcomes.map { $0.answered.timeIntervalSince($0.sent) }.max() ?? 0
                #expect(slowest < 6 || slowest < 2 * away, "a request took \(slowest) s")
            }
        }

        @Test func L07_aStoppedReplicaIsNotReadyWithinFiveSecondsAndIsReplaced() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                let stopped = try Self.replica(home)
                kill(stopped, SIGSTOP)
                let time = try countedUntil("ready=false", every: 0.05) {
                    try home.get("/api/v1/deployments/birds")["ready"]?.bool == false
                        && home.http().get("/v2/models/birds/ready").status == 503
                }
                #expect(time < 5)
                _ = try Self.ready(home, 1, without: stopped)
                #expect(!ProcessTable.isAlive(stopped))
                #expect(try Self.replica(home) != stopped)
                let answer = try home.http().post("/api/v1/deployments/birds/predict", json: TinyData.row)
                #expect(answer.status == 200, "\(answer.text)")
            }
        }

        @Test func L10_aNewVersionTakesOverAndNoRequestFails() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                try home.json("train", home.write("second.yaml", TinyData.recipe(epochs: 8)))
                let load = try Self.load(home)
                try waitUntil("answers", seconds: 60) { load.outcomes.count > 20 }
                let deployed = try home.json("deploy", "birds@2", "--as", "birds")
                #expect(deployed["model"]?.string == "birds@2")
                let switchedAt = Date()
                try waitUntil("answers of the new one", seconds: 60) {
                    load.outcomes.count { $0.sent > switchedAt } > 20
                }
                let outcomes = try load.stop()
                let failures = outcomes.filter { $0.status != 200 }
                #expect(failures.isEmpty, "\(failures.count) of \(outcomes.count): \(failures.prefix(3))")
                let before = Set(outcomes.prefix(20).map(\.text))
                let after = Set(outcomes.filter { $0.sent > switchedAt }.map(\.text))
                #expect(before.count == 1 && after.count == 1 && before != after, "each version has its own answer")
                try waitUntil("the old replica's end", seconds: 60) { home.replicas.count == 1 }
            }
        }

        @Test func L10_aVersionThatCannotLoadLeavesTheOldOneServing() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                try home.json("train", home.write("second.yaml", TinyData.recipe(epochs: 8)))
                try Self.damageWeights(home, "birds@2")
                let load = try Self.load(home)
                let result = try home.run("deploy", "birds@2", "--as", "birds")
                #expect(result.code != 0 && result.end != .signal(SIGKILL))
                #expect(result.errors.contains("birds@2"), "\(result.errors)")
                let failedAt = Date()
                try waitUntil("answers of the old one", seconds: 60) {
                    load.outcomes.count { $0.sent > failedAt } > 20
                }
                let outcomes = try load.stop()
                let failures = outcomes.filter { $0.status != 200 }
                #expect(failures.isEmpty, "\(failures.prefix(3))")
                let shown = try home.get("/api/v1/deployments/birds")
                #expect(shown["model"]?.string == "birds@1")
                #expect(shown["ready"]?.bool == true)
                #expect(shown["error"]?.string?.contains("birds@2") == true, "\(shown)")
            }
        }

        /// Turns a bit in the middle of a model's weights as they are stored.
        private static func damageWeights(_ home: TestHome, _ model: String) throws {
            let hash = try home.fingerprint(model).weights
            let path = "\(home.home)/blobs/sha256/\(hash.prefix(2))/\(hash)"
            var data = try #require(FileManager.default.contents(atPath: path))
            data[data.count / 2] ^= 0x40
            // In place: what is linked to it is damaged too.
            chmod(path, 0o600)
            let file = try #require(FileHandle(forWritingAtPath: path))
            try file.write(contentsOf: data)
            try file.close()
        }
    }
}
