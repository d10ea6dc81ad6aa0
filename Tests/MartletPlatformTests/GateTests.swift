import Foundation
import MartletPlatform
import MartletStore
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Gates over restarts", .serialized) struct GateTests {
    /// Answers evals' questions, once it is let go.
    private final class Executor: RequestExecutor {
        let isOpen = Mutex(true)
        let answer: String
        init(_ answer: String) { self.answer = answer }

        func execute(_ request: InnerRequest) async -> InnerReply {
            while !isOpen.withLock({ $0 }) {
                guard (try? await Task.sleep(for: .milliseconds(5))) != nil else {
                    return InnerReply(status: 499, body: [:], requestID: "r")
                }
            }
            return InnerReply(
                status: 200,
                body: ["choices": [["message": ["content": .string(answer)], "finish_reason": "stop"]]],
                requestID: "r")
        }
    }

    /// The next replica, ready.
    private func replica(_ bench: Bench) async throws {
        let started = try #require(await bench.engine.next())
        try #require(started.mode == "replica")
        let (connection, _) = try await started.dial()
        Task {
            while let (request, frame) = try await connection.nextRequest() {
                try connection.reply(to: frame, Acknowledged())
                if case .drain = request { started.kill() }
            }
        }
        try await connection.sayReady()
    }

    /// `m@1` is deployed as `live`, `m@2` is there, and the eval has been run once; its id.
    private func prepare(_ bench: Bench, _ executor: Executor = Executor("Paris")) async throws -> String {
        bench.platform.executor.set(executor)
        _ = try await bench.importDataset("d")
        _ = try await bench.train(weights: "one")
        _ = try await bench.train(weights: "two")
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m@1", name: "live"), by: bench.admin)
        try await replica(bench)
        _ = try await first
        let evals = bench.platform.evals
        let eval = try await evals.create(
            name: "capitals", metadata: nil,
            dataSourceConfig: ["type": "custom", "item_schema": ["type": "object"], "include_sample_schema": true],
            testingCriteria: [
                [
                    "type": "string_check", "name": "exact", "operation": "eq", "input": "{{ sample.output_text }}",
                    "reference": "{{ item.answer }}",
                ]
            ], by: bench.admin)
        let run = try await evals.createRun(
            eval.id, name: nil,
            dataSource: [
                "type": "completions", "model": "m",
                "source": ["type": "file_content", "content": [["item": ["answer": "Paris"]]]],
                "input_messages": ["type": "template", "template": [["role": "user", "content": "France?"]]],
            ], metadata: nil, by: bench.admin)
        try await eventually {
            try await evals.showRun(run.run.id, of: eval.id, by: bench.admin).run.state == .completed
        }
        executor.isOpen.withLock { $0 = false }
        return eval.id
    }

    private func gated(_ bench: Bench, _ eval: String) -> Task<DeploymentInfo, any Error> {
        Task {
            try await bench.platform.gates.deploy(
                DeploymentRequest(model: "m@2", name: "live", gate: eval), wait: true, by: bench.admin)
        }
    }

    /// Waits until the gate's run is stored.
    private func untilBegun(_ bench: Bench, _ eval: String) async throws -> String {
        var id = ""
        try await eventually {
            let runs = try await bench.platform.evals.listRuns(
                eval, state: nil, after: nil, limit: 10, isNewestFirst: true, by: bench.admin)
            id = runs.data.first?.run.id ?? ""
            return runs.data.count == 2
        }
        return id
    }

    private func live(_ bench: Bench) async throws -> DeploymentInfo {
        try await bench.platform.deployments.show("live", by: bench.admin)
    }

    /// A platform on the home of one that stopped in the middle of a gate; its executor says `answer`.
    private func interrupted(
        _ answer: String, _ between: (Bench, String) async throws -> Void = { _, _ in },
        _ body: (Bench, String) async throws -> Void
    ) async throws {
        let bench = try await Bench()
        let eval = try await prepare(bench)
        let waiting = gated(bench, eval)
        let run = try await untilBegun(bench, eval)
        #expect(try await live(bench).model == "m@1")
        try await between(bench, eval)
        try await bench.stop(keep: true)
        #expect(await code { _ = try await waiting.value } == .unavailable)
        let next = try await Bench(home: bench.home)
        try await replica(next)
        #expect(try await live(next).model == "m@1")
        next.platform.executor.set(Executor(answer))
        try await body(next, run)
        try await next.stop()
    }

    @Test func aGateThatWasInterruptedIsDecidedByTheNextServeAndMovesTheDeployment() async throws {
        try await interrupted("Paris") { bench, run in
            try await replica(bench)
            try await eventually { try await live(bench).model == "m@2" }
            #expect(try await live(bench).error == nil)
            let audit = try await bench.platform.audit.list(by: bench.admin).data
            #expect(audit.contains { $0.action == "deployment.gate" && $0.outcome == "passed" })
            // It is decided once.
            try await bench.stop(keep: true)
            let last = try await Bench(home: bench.home)
            try await replica(last)
            #expect(try await live(last).model == "m@2")
            let runs = try await last.platform.audit.list(by: last.admin).data.filter { $0.action == "deployment.gate" }
            #expect(runs.count == 1)
            try await last.stop(keep: true)
        }
    }

    @Test func aGateThatFailsAfterARestartLeavesTheDeploymentAndSaysWhy() async throws {
        try await interrupted("Rome") { bench, run in
            try await eventually { try await live(bench).error != nil }
            let shown = try await live(bench)
            #expect(shown.model == "m@1" && shown.nextModel == nil)
            #expect(shown.error?.contains("0 of 1") == true && shown.error?.contains(run) == true)
            #expect(await bench.engine.next(within: 0.5) == nil, "nothing was loaded")
            let audit = try await bench.platform.audit.list(by: bench.admin).data
            #expect(audit.contains { $0.action == "deployment.gate" && $0.outcome == "refused" })
        }
    }

    @Test func aRollbackOrADeploymentTakesAnUndecidedGatesPlace() async throws {
        let bench = try await Bench()
        let eval = try await prepare(bench)
        let waiting = gated(bench, eval)
        _ = try await untilBegun(bench, eval)
        async let again = bench.platform.gates.deploy(
            DeploymentRequest(model: "m@1", name: "live"), wait: true, by: bench.admin)
        try await replica(bench)
        #expect(try await again.model == "m@1")
        bench.platform.executor.set(Executor("Paris"))
        try await bench.stop(keep: true)
        #expect(await code { _ = try await waiting.value } != nil)
        let next = try await Bench(home: bench.home)
        next.platform.executor.set(Executor("Paris"))
        try await replica(next)
        try await Task.sleep(for: .milliseconds(500))
        #expect(try await live(next).model == "m@1")
        #expect(await next.engine.next(within: 0.5) == nil)
        try await next.stop()
    }

    @Test func aGateWhoseModelIsGoneBeforeItPassesIsOver() async throws {
        let bench = try await Bench()
        let executor = Executor("Paris")
        let eval = try await prepare(bench, executor)
        let waiting = gated(bench, eval)
        let run = try await untilBegun(bench, eval)
        let models = bench.platform.models
        let needed = await #expect(throws: MartletError.self) {
            try await models.delete("m@2", by: bench.admin)
        }
        #expect(needed?.code == .conflict && needed?.message.contains("eval run \(run)") == true)
        #expect(try await models.delete("m@2", force: true, by: bench.admin) == ["eval run \(run)"])
        executor.isOpen.withLock { $0 = true }
        #expect(await code { _ = try await waiting.value } == .notFound)
        let shown = try await bench.platform.gates.show("live", by: bench.admin)
        #expect(shown.gate == nil && shown.model == "m@1" && shown.error?.contains("m@2") == true, "\(shown)")
        try await bench.stop()
    }

    /// Whoever waits learns of it; the decision is written down, and carried out, as soon as that can be.
    @Test(arguments: ["Paris", "Rome"]) func aDecisionThatCannotBeWrittenDownIsTriedAgain(_ answer: String) async throws
    {
        let first = try await Bench()
        let eval = try await prepare(first)
        try await first.stop(keep: true)
        // The audit log takes no line of a gate until there is a project 'room'.
        let store = try Store(path: first.home + "/martlet.sqlite")
        try await store.alter(
            """
            CREATE TRIGGER no_room BEFORE INSERT ON audit WHEN NEW.action = 'deployment.gate'
            AND NOT EXISTS (SELECT 1 FROM projects WHERE name = 'room') BEGIN SELECT RAISE(ABORT, 'no room'); END
            """)
        try store.close()
        let bench = try await Bench(home: first.home)
        try await replica(bench)
        bench.platform.executor.set(Executor(answer))
        let passes = answer == "Paris"
        let told: MartletError.Code = passes ? .unavailable : .requirementNotMet
        #expect(await code { _ = try await gated(bench, eval).value } == told)
        let undecided = try await bench.platform.gates.show("live", by: bench.admin)
        #expect(undecided.gate?.model == "m@2" && undecided.model == "m@1" && undecided.error == nil)
        _ = try await bench.platform.projects.create(name: "room", by: bench.admin)
        if passes { try await replica(bench) }
        try await eventually { try await bench.platform.gates.show("live", by: bench.admin).gate == nil }
        try await eventually { try await live(bench).model == (passes ? "m@2" : "m@1") }
        let shown = try await live(bench)
        #expect(passes ? shown.error == nil : shown.error?.contains("0 of 1") == true)
        let lines = try await bench.platform.audit.list(by: bench.admin).data.filter { $0.action == "deployment.gate" }
        #expect(lines.map(\.outcome) == [passes ? "passed" : "refused"])
        try await bench.stop()
    }

    @Test func whoDoesNotWaitIsAnsweredAtOnceAndSeesTheGatesEnd() async throws {
        let bench = try await Bench()
        let executor = Executor("Paris")
        let eval = try await prepare(bench, executor)
        let gates = bench.platform.gates
        func begin(_ name: String) async throws -> DeploymentInfo {
            try await gates.deploy(
                DeploymentRequest(model: "m@2", name: name, gate: eval), wait: false, by: bench.admin)
        }
        let begun = try await begin("live")
        #expect(begun.model == "m@1" && begun.ready && begun.gate?.model == "m@2" && begun.gate?.eval == eval)
        // One that is not there yet is shown too.
        let fresh = try await begin("fresh")
        #expect(!fresh.ready && fresh.gate?.model == "m@2" && fresh.gate?.run != begun.gate?.run)
        #expect(try await gates.list(by: bench.admin).map(\.name) == ["fresh", "live"])
        let other = try await bench.platform.projects.create(name: "other", by: bench.admin)
        let stranger = try await bench.principal(.developer, project: other.name)
        #expect(try await gates.list(by: stranger).isEmpty)
        #expect(await code { _ = try await gates.show("fresh", by: stranger) } == .notFound)
        // The one that is not there is cancelled, and so refused; the other one passes.
        _ = try await bench.platform.evals.cancelRun(
            try #require(fresh.gate?.run), of: eval, by: bench.admin)
        try await eventually { await code { _ = try await gates.show("fresh", by: bench.admin) } == .notFound }
        executor.isOpen.withLock { $0 = true }
        try await replica(bench)
        try await eventually { try await live(bench).model == "m@2" }
        try await eventually { try await gates.show("live", by: bench.admin).gate == nil }
        try await bench.stop()
    }

    /// A key that was revoked has no more say.
    @Test("A11: a gate of a revoked key does not move the deployment") func aRevokedKeysGate() async throws {
        let bench = try await Bench()
        let eval = try await prepare(bench)
        let key = try await bench.platform.keys.create(name: "k", role: .developer, by: bench.admin)
        let holder = try await bench.platform.keys.authenticate(try #require(key.secret))
        let waiting = Task {
            try await bench.platform.gates.deploy(
                DeploymentRequest(model: "m@2", name: "live", gate: eval), wait: true, by: holder)
        }
        _ = try await untilBegun(bench, eval)
        _ = try await bench.platform.keys.revoke(key.id, by: bench.admin)
        #expect(await code { _ = try await waiting.value } == .requirementNotMet)
        let shown = try await live(bench)
        #expect(shown.model == "m@1" && shown.error?.contains("was revoked") == true)
        try await bench.stop()
    }
}
