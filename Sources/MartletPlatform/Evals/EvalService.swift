import Foundation
import Logging
import MartletStore
import MartletWire

/// Evals: graders over data or over kept answers, and their runs in the background.
public actor EvalService {
    let environment: BackgroundEnvironment
    var store: Store { environment.store }
    struct Run {
        var run: StoredEvalRun
        var work: WorkRun<StoredEvalItem>?
        var loading: Task<Void, Never>?
    }
    /// Runs that are being worked on, and who waits for their end.
    var runs: [String: Run] = [:]
    var waiters: [String: [CheckedContinuation<Void, Never>]] = [:]
    var isStopping = false

    private static let unfinishedLimit = 1000
    /// Runs and items show their data.
    package static let pageByteLimit = 4 << 20

    init(_ environment: BackgroundEnvironment) { self.environment = environment }

    // MARK: Evals

    package func create(
        name: String?, metadata: JSON?, dataSourceConfig: JSON, testingCriteria: JSON, by principal: Principal
    ) async throws -> StoredEval {
        try principal.require(.developer)
        _ = try EvalDefinition(dataSourceConfig: dataSourceConfig, testingCriteria: testingCriteria)
        let now = environment.clock.now()
        let id = "eval_\(try [UInt8].random(count: 16).hex)"
        let eval = StoredEval(
            id: id, projectID: principal.project, createdAt: now, updatedAt: now,
            info: .init(
                name: name ?? id, metadata: metadata, dataSourceConfig: dataSourceConfig,
                testingCriteria: testingCriteria))
        try await environment.audit.record("eval.create", on: id, by: principal)
        try await store.insert(eval)
        return eval
    }

    package func list(
        after: String?, limit: Int, isNewestFirst: Bool, byUpdate: Bool, by principal: Principal
    ) async throws -> (data: [StoredEval], hasMore: Bool) {
        try principal.require(.developer)
        if let after { _ = try await show(after, param: "after", by: principal) }
        let found = try await store.evals(
            projectID: principal.project, after: after, limit: limit + 1, isNewestFirst: isNewestFirst,
            byUpdate: byUpdate)
        return (Array(found.prefix(limit)), found.count > limit)
    }

    /// By id, or by the newest of that name. Throws `notFound`, also for another project's.
    package func show(_ id: String, param: String? = nil, by principal: Principal) async throws -> StoredEval {
        try principal.require(.developer)
        guard let eval = try await store.eval(id, projectID: principal.project) else {
            await environment.audit.noteForeign(.eval, id, by: principal)
            throw MartletError(.notFound, "there is no eval '\(id.prefix(80))'; see GET /v1/evals", param: param)
        }
        return eval
    }

    /// Nil leaves a field as it is.
    package func update(_ id: String, name: String?, metadata: JSON?, by principal: Principal) async throws
        -> StoredEval
    {
        var eval = try await show(id, by: principal)
        if let name { eval.info.name = name }
        if let metadata { eval.info.metadata = metadata }
        eval.updatedAt = environment.clock.now()
        try await store.update(eval)
        return eval
    }

    /// With all its runs; those that are under way end.
    package func delete(_ id: String, by principal: Principal) async throws {
        let eval = try await show(id, by: principal)
        try await environment.audit.record("eval.delete", on: eval.id, by: principal)
        for run in runs.values where run.run.evalID == eval.id { await end(run.run.id) }
        _ = try await store.deleteEval(eval.id, projectID: principal.project)
    }

    // MARK: Runs

    /// A run with what came of its items so far.
    package struct View: Sendable {
        package var run: StoredEvalRun
        package var counts: [StoredEvalItem.State: Int]
        package var criteria: [(name: String, passed: Int, failed: Int)]
        package var usage: [(model: String, requests: Int, input: Int, cached: Int, output: Int)]
    }

    /// With `gate` the gate is stored in the transaction that stores the run; its run's id is set here.
    package func createRun(
        _ evalID: String, name: String?, dataSource: JSON, metadata: JSON?, gate: StoredGate? = nil,
        by principal: Principal
    ) async throws -> View {
        let eval = try await show(evalID, by: principal)
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        let unfinished = runs.values.count { $0.run.projectID == principal.project }
        guard unfinished < Self.unfinishedLimit else {
            throw MartletError(
                .rateLimited, "\(unfinished) eval runs of this project are not over; wait for some or cancel some")
        }
        let data = try EvalDataSource(dataSource, definition: try eval.definition())
        if case .file(let id) = data.source {
            _ = try await environment.files.file(
                id, purposes: [.evals, .fineTune, .batch, .userData, .batchOutput], param: "data_source.source.id",
                projectID: principal.project)
        }
        let id = "evalrun_\(try [UInt8].random(count: 16).hex)"
        let run = StoredEvalRun(
            id: id, evalID: eval.id, projectID: principal.project, keyID: principal.keyID, state: .queued,
            createdAt: environment.clock.now(),
            info: .init(
                name: name ?? id, model: data.sampling?.model ?? "", metadata: metadata,
                dataSource: dataSource))
        try await environment.audit.record("eval.run", on: "\(eval.id) \(id)", by: principal)
        var gate = gate
        gate?.runID = id
        try await store.insert(run, gate: gate)
        proceed(run)
        return try await view(run)
    }

    /// A page ends early where its runs' data has more bytes than `pageByteLimit`.
    package func listRuns(
        _ evalID: String, state: StoredEvalRun.State?, after: String?, limit: Int, isNewestFirst: Bool,
        by principal: Principal
    ) async throws -> (data: [View], hasMore: Bool) {
        let eval = try await show(evalID, by: principal)
        if let after { _ = try await run(after, of: evalID, param: "after", by: principal) }
        let (found, hasMore) = try await store.evalRuns(
            ofEval: eval.id, state: state, after: after, limit: limit, byteLimit: Self.pageByteLimit,
            isNewestFirst: isNewestFirst)
        var views: [View] = []
        for run in found { views.append(try await view(run)) }
        return (views, hasMore)
    }

    package func showRun(_ id: String, of evalID: String, by principal: Principal) async throws -> View {
        try await view(try await run(id, of: evalID, by: principal))
    }

    /// What was judged stays; a run that is over stays as it is.
    package func cancelRun(_ id: String, of evalID: String, by principal: Principal) async throws -> View {
        let run = try await run(id, of: evalID, by: principal)
        if !run.state.isFinal {
            try await environment.audit.record("eval.run.cancel", on: id, by: principal)
            var canceled = run
            canceled.state = .canceled
            try await end(canceled)
        }
        return try await showRun(id, of: evalID, by: principal)
    }

    /// Cancels the runs of keys that were revoked or have expired: what a key asks for ends with it.
    func endThoseOfLostKeys() async {
        for keyID in Set(runs.values.map(\.run.keyID)) {
            guard let loss = await environment.keys.loss(of: keyID) else { continue }
            for run in runs.values.map(\.run) where run.keyID == keyID && !run.state.isFinal {
                do {
                    try await environment.audit.record(
                        "eval.run.cancel", on: run.id,
                        by: Principal(keyID: keyID, project: run.projectID, projectName: "", role: .developer),
                        outcome: loss.outcome)
                    var canceled = run
                    canceled.state = .canceled
                    canceled.info.error = MartletError(
                        .unauthenticated, "the run was canceled because \(loss.reason); what was judged stays")
                    try await end(canceled)
                } catch {
                    environment.logger.error("the eval run \(run.id), whose key is lost, ends a second later: \(error)")
                }
            }
        }
    }

    package func deleteRun(_ id: String, of evalID: String, by principal: Principal) async throws {
        let run = try await run(id, of: evalID, by: principal)
        try await environment.audit.record("eval.run.delete", on: id, by: principal)
        await end(run.id)
        _ = try await store.deleteEvalRun(run.id, projectID: principal.project)
    }

    /// A page ends early as one of runs does.
    package func items(
        ofRun id: String, of evalID: String, passed: Bool?, after: String?, limit: Int, isNewestFirst: Bool,
        by principal: Principal
    ) async throws -> (data: [StoredEvalItem], hasMore: Bool) {
        let run = try await run(id, of: evalID, by: principal)
        if let after { _ = try await item(after, ofRun: id, of: evalID, param: "after", by: principal) }
        let (found, hasMore) = try await store.items(
            ofRun: run.id, passed: passed, after: after, limit: limit, byteLimit: Self.pageByteLimit,
            isNewestFirst: isNewestFirst)
        return (found, hasMore)
    }

    package func item(
        _ id: String, ofRun run: String, of evalID: String, param: String? = nil, by principal: Principal
    ) async throws -> StoredEvalItem {
        let run = try await self.run(run, of: evalID, by: principal)
        guard let item = try await store.item(id, ofRun: run.id) else {
            throw MartletError(.notFound, "there is no output item '\(id.prefix(80))' in this run", param: param)
        }
        return item
    }

    private func run(
        _ id: String, of evalID: String, param: String? = nil, by principal: Principal
    ) async throws -> StoredEvalRun {
        let eval = try await show(evalID, by: principal)
        guard let run = try await store.evalRun(id, projectID: principal.project), run.evalID == eval.id else {
            await environment.audit.noteForeign(.evalRun, id, by: principal)
            throw MartletError(.notFound, "there is no run '\(id.prefix(80))' of this eval", param: param)
        }
        return run
    }

    func view(_ run: StoredEvalRun) async throws -> View {
        let counts = try await store.itemCounts(ofRun: run.id)
        let byName = try await store.criteriaCounts(ofRun: run.id)
        let names = byName.keys.sorted()
        return View(
            run: run, counts: counts,
            criteria: names.map { ($0, byName[$0]?.passed ?? 0, byName[$0]?.failed ?? 0) },
            usage: try await store.modelUsage(ofRun: run.id))
    }
}

extension StoredEval {
    func definition() throws -> EvalDefinition {
        try EvalDefinition(dataSourceConfig: info.dataSourceConfig, testingCriteria: info.testingCriteria)
    }

    /// `data_source_config` as the API shows it.
    package var shownDataSourceConfig: JSON { EvalDefinition.shown(config: info.dataSourceConfig) }
}
