import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Reinforcement with a real model as its judge, while workers and the server die.
    @Suite struct GradedJobs {
        private static func recipe(_ name: String, steps: Int) -> String {
            """
            name: \(name)
            base: tiny
            adapter: {rank: 2}
            tuning:
              method: reinforcement
              samples: 4
              max_tokens: 8
              grader:
                type: label_model
                name: taste
                model: judge
                labels: [good, bad]
                passing_labels: [good]
                input: [{role: user, content: "Is this good? {{sample.output_text}}"}]
            data: {source: {train: prompts.jsonl, validation: prompts.jsonl}}
            training:
              steps: \(steps)
              batch_size: 4
              optimizer: {learning_rate: 0.01}
              checkpoint: {every: 2 steps, keep: 3}
            """
        }

        /// Questions that were answered, as their job's folder keeps them.
        private static func kept(_ home: TestHome, _ id: String) throws -> [String] {
            let path = "\(home.home)/run/jobs/\(id)/grader-answers.jsonl"
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [] }
            return try text.split(separator: "\n").map { line in
                let value = try JSONParser.parse(String(line))
                #expect(["good", "bad"].contains(try JSONParser.parse(value["answer"]?.string ?? "")["label"]?.string))
                return value["question"]?.string ?? ""
            }
        }

        private static func models(_ home: TestHome) throws {
            for name in ["tiny", "judge"] { try home.json("models", "import", Language.tiny, "--name", name) }
            let prompts = (0..<8).map { "{\"messages\": [{\"role\": \"user\", \"content\": \"say \($0)\"}]}" }
            _ = try home.write("prompts.jsonl", prompts.joined(separator: "\n"))
        }

        @Test func `J02 J06: a judged job outlives its worker and its server, and asks nothing twice`() async throws {
            try await TestHome.with { home in
                try home.serve()
                try Self.models(home)
                let id = try home.detach(Self.recipe("judged", steps: 12))
                let worker: pid_t = try waitUntil("the first answers", seconds: 60, every: 0.005) {
                    try Self.kept(home, id).count >= 20 ? home.workers.first : nil
                }
                kill(worker, SIGKILL)
                let count = try Self.kept(home, id).count
                try waitUntil("more answers", seconds: 60, every: 0.005) { try Self.kept(home, id).count > count + 20 }
                let server = try #require(home.owner?.pid)
                kill(server, SIGKILL)
                try waitUntil("the server's end", seconds: 60) { !ProcessTable.isAlive(server) }
                try home.serve()
                let job = try home.finished(id)
                #expect(job["state"]?.string == "succeeded", "\(job["error"] ?? .null)")
                #expect(job["attempts"]?.int ?? 0 >= 2)
                let questions = try Self.kept(home, id)
                #expect(questions.count > 60 && Set(questions).count == questions.count)
                let events = try home.events(id)
                let rewards = events.compactMap { $0["event"]?["data"]?["train_reward_mean"]?.double }
                #expect(rewards.count == 12 && rewards.allSatisfy { (0...1).contains($0) }, "\(rewards)")
                // What the judge said stands in the ledger.
                let usage = try home.json("usage")["data"]?.array ?? []
                let judged = usage.filter { $0["resource"]?.string == "judge@1" }.compactMap { $0["requests"]?.int }
                #expect(judged.reduce(0, +) >= questions.count / 2, "\(judged) of \(questions.count)")
            }
        }

        @Test func `a judge that is deleted ends the job by name, and a waiting job can be cancelled`() async throws {
            try await TestHome.with { home in
                try Self.models(home)
                let id = try home.detach(Self.recipe("judged", steps: 4000))
                try waitUntil("the first answers", seconds: 60) { try Self.kept(home, id).count >= 4 }
                _ = try home.run("models", "delete", "judge", "--force")
                let job = try home.finished(id)
                #expect(job["state"]?.string == "failed")
                #expect(job["error"]?["message"]?.string?.contains("'judge'") == true, "\(job["error"] ?? .null)")

                try home.json("models", "import", Language.tiny, "--name", "judge")
                let other = try home.detach(Self.recipe("other", steps: 4000))
                try waitUntil("the first answers", seconds: 60) { try Self.kept(home, other).count >= 4 }
                // Nobody answers any more, and nobody says so.
                for replica in home.replicas { kill(replica, SIGSTOP) }
                let count = try Self.kept(home, other).count
                usleep(300_000)
                try home.json("jobs", "cancel", other)
                #expect(try countedUntil("the worker's end") { home.workers.isEmpty } < 10)
                #expect(try home.job(other)["state"]?.string == "cancelled")
                #expect(try Self.kept(home, other).count <= count + 32)
            }
        }
    }
}
