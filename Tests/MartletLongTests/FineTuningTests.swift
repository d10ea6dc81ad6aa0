import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension LongTests {
    /// One fine-tuning job whose workers die again and again, half of them at the system calls of a checkpoint, and at
    /// times the server with them.
    @Suite struct FineTuning {
        private static let strace = "/usr/bin/strace"
        private static let tiny = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Golden/tiny-llama").path
        private static let (lines, epochs) = (800, 5)
        private static let recipe = """
            name: talk
            base: tiny
            adapter: {rank: 4, dropout: 0.1}
            data: {source: {train: talk, validation: held}}
            training:
              epochs: \(epochs)
              batch_size: 1
              optimizer: {learning_rate: 0.002}
              checkpoint: {every: 2 steps, keep: 2}
            """

        private static func conversations(_ count: Int, seed: Int) -> String {
            (0..<count).map { index in
                let word = ["tree", "wind", "roof", "tower", "rain"][(index * seed) % 5]
                return """
                    {"messages": [{"role": "user", "content": "the \(word) \(index % 11)"}, \
                    {"role": "assistant", "content": "a swift in the \(word)"}]}
                    """
            }.joined(separator: "\n")
        }

        /// What must be the same whatever happened: the adapter's bits, the metrics, and what each step told.
        private struct End: Equatable {
            var weights: String
            var metrics: JSON
            var steps: [String: JSON]
            var points: [Int]
        }

        private static func end(_ id: String, _ home: TestHome) throws -> End {
            let model = try home.get("/api/v1/models/\(home.job(id)["model"]?.string ?? "")")
            let file = model["files"]?.array?.first { $0["path"]?.string == "adapter_model.safetensors" }
            let events = try home.events(id)
            let keys = events.compactMap { $0["event"]?["key"]?.string }
            #expect(Set(keys).count == keys.count, "an event is there twice")
            var steps: [String: JSON] = [:]
            for event in events {
                guard let key = event["event"]?["key"]?.string, let data = event["event"]?["data"] else { continue }
                let isOfTraining = ["step-", "checkpoint-", "hyperparameters", "parity", "data"].contains(
                    where: key.hasPrefix)
                if isOfTraining { steps[key] = data }
            }
            let points = try home.get("/v1/fine_tuning/jobs/\(id)/checkpoints")["data"]?.array ?? []
            return End(
                weights: try #require(file?["hash"]?.string), metrics: try #require(model["card"]?["metrics"]),
                steps: steps, points: points.compactMap { $0["step_number"]?.int }.sorted())
        }

        /// Steps of the job's newest checkpoint.
        private static func newest(_ id: String, _ home: TestHome) -> Int {
            let names =
                (try? FileManager.default.contentsOfDirectory(atPath: "\(home.home)/run/jobs/\(id)/checkpoints"))
            return (names ?? []).compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.max() ?? 0
        }

        @Test(.enabled(if: access(strace, X_OK) == 0, "strace is not installed"))
        func J01_J02_J06_aHundredKillsEndWithTheSameBits() async throws {
            let kills = ProcessInfo.processInfo.environment["MARTLET_TEST_KILLS"].flatMap { Int($0) } ?? 100
            try await TestHome.with { home in
                let script = """
                    #!/bin/sh
                    if [ "$1" = worker ] && [ -s \(home.folder)/inject ]; then
                        rule=$(cat \(home.folder)/inject)
                        rm -f \(home.folder)/inject
                        exec \(Self.strace) -f -qq -o /dev/null -e trace=${rule%%:*} -e inject=$rule \(home.engineProgram) "$@"
                    fi
                    exec \(home.engineProgram) "$@"
                    """
                let wrapper = try home.write("engine", script + "\n")
                chmod(wrapper, 0o700)
                try home.write("h/config.yaml", "engine_path: \(wrapper)\n")
                try home.json("models", "import", Self.tiny, "--name", "tiny")
                let data = [("talk", Self.lines, 3), ("held", 12, 7)]
                for (name, count, seed) in data {
                    try home.json(
                        "data", "add", name, home.write("\(name).jsonl", Self.conversations(count, seed: seed)))
                }
                let quiet = try home.detach(Self.recipe)
                #expect(try home.finished(quiet, seconds: 600)["state"]?.string == "succeeded")
                let expected = try Self.end(quiet, home)
                #expect(expected.points == (1...Self.epochs).map { $0 * Self.lines })

                let id = try home.detach(Self.recipe)
                var done: Set<pid_t> = []
                var isInjected = false
                for number in 1...kills {
                    let before = Self.newest(id, home)
                    let pid: pid_t = try waitUntil("worker \(number)", seconds: 120, every: 0.005) {
                        home.workers.first { !done.contains($0) }
                    }
                    done.insert(pid)
                    if isInjected {
                        try waitUntil("death \(number)", seconds: 120, every: 0.005) { !ProcessTable.isAlive(pid) }
                    } else {
                        // At least one checkpoint lies between two kills, as it does between real ones.
                        try waitUntil("a checkpoint before kill \(number)", seconds: 120, every: 0.002) {
                            Self.newest(id, home) >= before + 6
                        }
                        usleep(UInt32.random(in: 0..<30_000))
                        kill(pid, SIGKILL)
                    }
                    if number % 10 == 0, let serve = home.owner?.pid {
                        kill(serve, SIGKILL)
                        try waitUntil("the server's end", seconds: 60) { !ProcessTable.isAlive(serve) }
                        try home.serve()
                    }
                    isInjected = number % 2 == 1
                    if isInjected {
                        let call = ["fsync", "rename", "write"].randomElement() ?? "fsync"
                        // Past the first checkpoints of the next worker, at any of a checkpoint's calls.
                        let place = call == "rename" ? Int.random(in: 4...12) : Int.random(in: 25...60)
                        try home.write("inject", "\(call):signal=SIGKILL:when=\(place)")
                    }
                }
                try? FileManager.default.removeItem(atPath: home.folder + "/inject")
                let job = try home.finished(id, seconds: 600)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                #expect((job["attempts"]?.int ?? 0) >= kills)
                let found = try Self.end(id, home)
                #expect(found.weights == expected.weights && found.metrics == expected.metrics)
                #expect(found.points == expected.points)
                #expect(Set(found.steps.keys) == Set(expected.steps.keys))
                for (key, data) in expected.steps { #expect(found.steps[key] == data, "\(key)") }
            }
        }
    }
}
