import Foundation
import Glibc
import MartletPlatform
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite(.serialized) struct DeploymentTests {
    /// Answers every request of the platform; `answer` is the body of inferences. Ends with the connection.
    private func serve(
        _ connection: FakeConnection, of replica: FakeEngine.Started, _ answer: String, pings: Bool = true
    ) -> Task<Void, any Error> {
        Task {
            while let (request, frame) = try await connection.nextRequest() {
                switch request {
                case .infer:
                    try connection.reply(
                        to: frame, InferenceReply(rows: 1, queueMicroseconds: 1, computeMicroseconds: 1000),
                        body: Array("\(answer):".utf8) + frame.body)
                case .ping where !pings: break
                case .drain:
                    try connection.reply(to: frame, Acknowledged())
                    replica.kill()
                default: try connection.reply(to: frame, Acknowledged())
                }
            }
        }
    }

    /// A replica that loads and answers.
    @discardableResult
    private func answerAsReplica(_ bench: Bench, _ answer: String) async throws -> (FakeEngine.Started, FakeConnection)
    {
        let replica = try #require(await bench.engine.next())
        #expect(replica.mode == "replica")
        let (connection, task) = try await replica.dial()
        guard case .serve(let serve) = task else {
            Issue.record("not a serving task")
            return (replica, connection)
        }
        #expect(FileManager.default.fileExists(atPath: serve.bundle + "/" + BundleFile.weights))
        _ = self.serve(connection, of: replica, answer)
        try await connection.sayReady()
        return (replica, connection)
    }

    /// A home with the model `m@1`.
    private func trained() async throws -> Bench {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        _ = try await bench.train()
        return bench
    }

    private func ask(_ bench: Bench, _ model: String, _ text: String = "x") async throws -> String {
        let (_, body) = try await bench.platform.deployments.infer(
            model: model, request: InferenceRequest(api: .predict), body: Array(text.utf8), by: bench.admin)
        return String(decoding: body, as: UTF8.self)
    }

    @Test func aDeploymentAnswersMovesOnAndRollsBack() async throws {
        let bench = try await Bench()
        let deployments = bench.platform.deployments
        _ = try await bench.importDataset("d")
        _ = try await bench.train(weights: "one")
        async let first = deployments.deploy(DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        try await answerAsReplica(bench, "one")
        let deployed = try await first
        #expect(deployed.ready && deployed.model == "m@1")
        #expect(try await ask(bench, "live", "hello") == "one:hello")

        _ = try await bench.train(weights: "two")
        async let second = deployments.deploy(DeploymentRequest(model: "m@2", name: "live"), by: bench.admin)
        // Until the new version has done a forward pass the old one answers.
        let replica = try #require(await bench.engine.next())
        #expect(try await ask(bench, "live") == "one:x")
        let (connection, _) = try await replica.dial()
        _ = serve(connection, of: replica, "two")
        #expect(try await ask(bench, "live") == "one:x")
        try await connection.sayReady()
        #expect(try await second.model == "m@2")
        #expect(try await ask(bench, "live") == "two:x")

        async let back = deployments.rollback("live", by: bench.admin)
        try await answerAsReplica(bench, "one again")
        #expect(try await back.model == "m@1")
        #expect(try await ask(bench, "live") == "one again:x")
        #expect(await code { try await bench.platform.models.delete("m@1", by: bench.admin) } == .conflict)
        try await deployments.delete("live", by: bench.admin)
        #expect(await code { _ = try await ask(bench, "live") } == .notFound)
        let usage = try await bench.platform.ledger.usage(by: bench.admin)
        #expect(usage.filter { $0.kind == "inference" }.reduce(0) { $0 + $1.requests } == 5)
        try await bench.stop()
    }

    /// The process may be started at the very moment at which its deployment goes.
    @Test func aDeploymentThatIsDeletedAtOnceLeavesNoProcess() async throws {
        let bench = try await trained()
        let deployments = bench.platform.deployments
        for round in 0..<40 {
            _ = try await deployments.deploy(
                DeploymentRequest(model: "m", name: "live"), wait: false, by: bench.admin)
            if round % 4 > 0 { try await Task.sleep(for: .microseconds(100 * (round % 13))) }
            let isDeleted = Mutex(false)
            Task {
                try await deployments.delete("live", by: bench.admin)
                isDeleted.withLock { $0 = true }
            }
            try await eventually { isDeleted.withLock { $0 } }
        }
        while let started = await bench.engine.next(within: 0.5) { try await eventually { !started.isAlive } }
        try await bench.stop()
    }

    /// Whichever comes last, what is shown is what the next `serve` finds.
    @Test func aDeployThatCrossesADeleteBringsNothingBack() async throws {
        let bench = try await trained()
        let deployments = bench.platform.deployments
        let admin = bench.admin
        for round in 0..<60 {
            let request = DeploymentRequest(model: "m", name: "live-\(round)")
            _ = try await deployments.deploy(request, wait: false, by: admin)
            async let again = deployments.deploy(request, wait: false, by: admin)
            async let scaled = deployments.scale("live-\(round)", to: 0, by: admin)
            try await Task.sleep(for: .microseconds(50 * (round % 20)))
            async let deleted: Void = deployments.delete("live-\(round)", by: admin)
            _ = await (try? again, try? scaled, try? deleted)
        }
        let shown = try await deployments.list(by: admin).map(\.name)
        try await bench.stop(keep: true)
        let next = try await Bench(home: bench.home)
        #expect(try await next.platform.deployments.list(by: next.admin).map(\.name) == shown)
        try await next.stop()
    }

    @Test func aRolloutOfBeforeARestartDoesNotBringBackWhatIsDeletedMeanwhile() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        for weights in ["one", "two"] { _ = try await bench.train(weights: weights) }
        let first = Task {
            try await bench.platform.deployments.deploy(
                DeploymentRequest(model: "m@1", name: "live"), by: bench.admin)
        }
        try await answerAsReplica(bench, "one")
        _ = try await first.value
        _ = try await bench.platform.deployments.deploy(
            DeploymentRequest(model: "m@2", name: "live"), wait: false, by: bench.admin)
        _ = try #require(await bench.engine.next())
        try await bench.stop(keep: true)
        // The next one loads m@1, and would go on to m@2 then.
        let next = try await Bench(home: bench.home)
        _ = try #require(await next.engine.next())
        try await next.platform.deployments.delete("live", by: next.admin)
        #expect(await next.engine.next(within: 1) == nil, "m@2 was loaded")
        #expect(try await next.platform.deployments.list(by: next.admin).isEmpty)
        try await next.stop()
    }

    @Test func aVersionThatCannotBeLoadedLeavesTheOldOneServing() async throws {
        let bench = try await Bench()
        let deployments = bench.platform.deployments
        _ = try await bench.importDataset("d")
        _ = try await bench.train(weights: "one")
        _ = try await bench.train(weights: "two")
        async let first = deployments.deploy(DeploymentRequest(model: "m@1", name: "live"), by: bench.admin)
        try await answerAsReplica(bench, "one")
        _ = try await first
        let second = Task {
            try await deployments.deploy(DeploymentRequest(model: "m@2", name: "live"), by: bench.admin)
        }
        let replica = try #require(await bench.engine.next())
        let (connection, _) = try await replica.dial()
        try await connection.request(.fail(MartletError(.invalidData, "the tensor 'w' is missing")))
        replica.kill()
        #expect(await code { _ = try await second.value } == .unavailable)
        let now = try await deployments.show("live", by: bench.admin)
        #expect(now.ready && now.model == "m@1" && now.nextModel == nil)
        #expect(now.error?.contains("m@2") == true && now.error?.contains("the tensor 'w' is missing") == true)
        #expect(try await ask(bench, "live") == "one:x")
        try await bench.stop()
    }

    @Test func aKilledReplicaFailsItsRequestsAndIsStartedAgain() async throws {
        let bench = try await trained()
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        let (replica, _) = try await answerAsReplica(bench, "one")
        _ = try await first
        replica.kill()
        // A request that comes while the new process loads waits for it.
        let next = try #require(await bench.engine.next())
        let (connection, _) = try await next.dial()
        async let answer = ask(bench, "live")
        try await Task.sleep(for: .milliseconds(50))
        _ = serve(connection, of: next, "again")
        try await connection.sayReady()
        #expect(try await answer == "again:x")
        let state = try #require(
            try await bench.platform.deployments.show("live", by: bench.admin).replicaStates.first)
        #expect(state.restarts == 1 && state.state == .ready)
        try await bench.stop()
    }

    @Test func aReplicaWhoseComputeThreadHangsIsReplaced() async throws {
        let bench = try await trained()
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        let replica = try #require(await bench.engine.next())
        let (connection, _) = try await replica.dial()
        _ = serve(connection, of: replica, "stuck", pings: false)
        try await connection.sayReady()
        _ = try await first
        try await eventually { !replica.isAlive }
        try await answerAsReplica(bench, "fresh")
        try await eventually { try await ask(bench, "live") == "fresh:x" }
        try await bench.stop()
    }

    @Test func aModelThatIsNotDeployedIsLoadedAtItsFirstRequest() async throws {
        let bench = try await trained()
        async let answer = ask(bench, "m")
        try await answerAsReplica(bench, "lazy")
        #expect(try await answer == "lazy:x")
        #expect(try await ask(bench, "m@1") == "lazy:x")
        #expect(await code { _ = try await ask(bench, "m@2") } == .notFound)
        #expect(await code { _ = try await ask(bench, "no/such") } == .notFound)
        try await bench.stop()
    }

    @Test func aRecipesDeploySectionDeploysAndSurvivesARestart() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining(deploy: true)
        let (connection, task) = try await worker.dial()
        try await bench.finish(connection, task)
        worker.kill()
        try await answerAsReplica(bench, "one")
        try await eventually { try await bench.platform.deployments.show("m", by: bench.admin).ready }
        #expect(try await bench.platform.jobs.show(job.id, by: bench.admin).deployment == "m")
        try await bench.stop(keep: true)

        let next = try await Bench(home: bench.home)
        try await answerAsReplica(next, "after")
        try await eventually { try await ask(next, "m") == "after:x" }
        try await next.stop()
    }

    @Test func aRolloutThatCannotGoOnAfterARestartSaysWhy() async throws {
        let bench = try await trained()
        _ = try await bench.train(weights: "two")
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m@1", name: "live"), by: bench.admin)
        try await answerAsReplica(bench, "one")
        _ = try await first
        _ = try await bench.platform.deployments.deploy(
            DeploymentRequest(model: "m@2", name: "live"), wait: false, by: bench.admin)
        _ = try #require(await bench.engine.next())
        try await bench.platform.models.delete("m@2", force: true, by: bench.admin)
        try await bench.stop(keep: true)

        let next = try await Bench(home: bench.home)
        try await answerAsReplica(next, "again")
        try await eventually { try await ask(next, "live") == "again:x" }
        try await eventually {
            try await next.platform.deployments.show("live", by: next.admin).error?.contains("m@2") == true
        }
        let shown = try await next.platform.deployments.show("live", by: next.admin)
        #expect(shown.ready && shown.model == "m@1" && shown.nextModel == nil)
        try await next.stop()
    }

    @Test func aModelThatMissesARequirementIsKeptButNotDeployed() async throws {
        let bench = try await Bench()
        _ = try await bench.importDataset("d")
        let (job, worker) = try await bench.startTraining(deploy: true)
        let (connection, task) = try await worker.dial()
        try await bench.finish(connection, task, unmet: ["accuracy >= 0.9: it is 0.8"])
        worker.kill()
        let done = try await bench.platform.jobs.show(job.id, by: bench.admin)
        #expect(done.state == .succeeded && done.model == "m@1" && done.deployment == nil)
        let events = try await bench.platform.jobs.events(of: job.id, by: bench.admin).data
        #expect(events.contains { $0.event.message.contains("accuracy >= 0.9: it is 0.8") })
        #expect(
            await code {
                _ = try await bench.platform.deployments.deploy(DeploymentRequest(model: "m"), by: bench.admin)
            } == .requirementNotMet)
        #expect(try await bench.platform.deployments.list(by: bench.admin).isEmpty)
        try await bench.stop()
    }

    @Test("L06: one that waits for a replica past its deadline is told so then, and does not hold up the next")
    func aRequestWhoseTimeRunsOutWhileItWaits() async throws {
        let bench = try await trained()
        // The first rollout has no replica yet.
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        let replica = try #require(await bench.engine.next())
        async let patient = ask(bench, "live", "patient")
        let (late, time) = try await counted {
            await code {
                _ = try await bench.platform.deployments.infer(
                    model: "live", request: InferenceRequest(api: .predict, deadlineMicroseconds: 150_000), body: [],
                    by: bench.admin)
            }
        }
        #expect(late == .deadlineExceeded && time < .seconds(5))
        let (connection, _) = try await replica.dial()
        let asked = Mutex<[String]>([])
        let serving = Task {
            while let (request, frame) = try await connection.nextRequest() {
                guard case .infer = request else {
                    try connection.reply(to: frame, Acknowledged())
                    if case .drain = request { replica.kill() }
                    continue
                }
                asked.withLock { $0.append(String(decoding: frame.body, as: UTF8.self)) }
                try connection.reply(
                    to: frame, InferenceReply(rows: 1, queueMicroseconds: 1, computeMicroseconds: 1), body: frame.body)
            }
        }
        try await connection.sayReady()
        #expect(try await patient == "patient")
        _ = try await first
        #expect(asked.withLock { $0 } == ["patient"], "what was late was never started")
        try await bench.stop()
        serving.cancel()
    }

    @Test("L06: what comes past its deadline is not started") func aRequestWhoseTimeRanOutIsNotStarted() async throws {
        let bench = try await trained()
        async let first = bench.platform.deployments.deploy(
            DeploymentRequest(model: "m", name: "live"), by: bench.admin)
        try await answerAsReplica(bench, "one")
        _ = try await first
        #expect(
            await code {
                _ = try await bench.platform.deployments.infer(
                    model: "live", request: InferenceRequest(api: .predict, deadlineMicroseconds: 0), body: [],
                    by: bench.admin)
            } == .deadlineExceeded)
        try await bench.stop()
    }
}
