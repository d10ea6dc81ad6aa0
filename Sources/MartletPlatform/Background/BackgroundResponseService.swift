import Foundation
import MartletStore
import MartletWire

/// Responses that a client asked for in the background: accepted at once, worked out where there is room, and fetched
/// later. One that is under way when `serve` dies is begun again by the next.
public actor BackgroundResponseService {
    private let environment: BackgroundEnvironment
    private let deployments: DeploymentService
    private var store: Store { environment.store }

    private struct Run {
        var stored: StoredBackgroundResponse
        var task: Task<Void, Never>?
    }
    private var runs: [String: Run] = [:]
    private var isStopping = false
    private static let unfinishedLimit = 1000

    init(_ environment: BackgroundEnvironment, deployments: DeploymentService) {
        self.environment = environment
        self.deployments = deployments
    }

    /// Accepts a response; `kept.body` is what is shown of it until it is under way.
    ///
    /// Throws `modelNotFound`, `invalidRequest` for a model that writes no text, `rateLimited`.
    package func begin(
        _ id: String, request: JSON, kept: ResponseService.Kept, by principal: Principal
    ) async throws {
        try principal.require(.developer, .inference)
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        let unfinished = runs.values.count { $0.stored.projectID == principal.project }
        guard unfinished < Self.unfinishedLimit else {
            throw MartletError(
                .rateLimited, "\(unfinished) background responses of this project are not over; wait for some")
        }
        try await deployments.checkWriter(
            kept.body["model"]?.string ?? "", called: "the model", param: "model", by: principal)
        let now = environment.clock.now()
        let stored = StoredBackgroundResponse(
            id: id, projectID: principal.project, keyID: principal.keyID, createdAt: now, request: request)
        try await store.insert(
            stored,
            response: StoredResponse(
                id: id, projectID: principal.project, createdAt: now, body: kept.body, input: kept.input,
                conversation: kept.conversation))
        proceed(stored)
    }

    /// Ends the work; the response as it is then, or nil where it is over or was none of the background.
    package func cancel(_ id: String, by principal: Principal) async throws -> JSON? {
        guard let run = runs[id], run.stored.projectID == principal.project else { return nil }
        let body = try await store.change(background: id, ends: true) { Self.with("cancelled", $0) }
        run.task?.cancel()
        return body
    }

    /// The response was deleted.
    package func forget(_ id: String, by principal: Principal) {
        guard let run = runs[id], run.stored.projectID == principal.project else { return }
        run.task?.cancel()
    }

    // MARK: Life

    /// Goes on with what an earlier `serve` left.
    func start() async throws {
        for stored in try await store.unfinishedBackgroundResponses() { proceed(stored) }
    }

    func stop() async {
        isStopping = true
        let tasks = runs.values.compactMap(\.task)
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    func hasWork() -> Bool { !runs.isEmpty }

    /// What a key asks for ends with it.
    func endThoseOfLostKeys() async {
        for keyID in Set(runs.values.map(\.stored.keyID)) {
            guard let loss = await environment.keys.loss(of: keyID) else { continue }
            for run in runs.values where run.stored.keyID == keyID {
                let holder = Principal(
                    keyID: keyID, project: run.stored.projectID, projectName: "", role: .developer)
                do {
                    try await environment.audit.record(
                        "response.cancel", on: run.stored.id, by: holder, outcome: loss.outcome)
                    _ = try await cancel(run.stored.id, by: holder)
                } catch {
                    environment.logger.error(
                        "the response \(run.stored.id), whose key is lost, is cancelled a second later: \(error)")
                }
            }
        }
    }

    private func proceed(_ stored: StoredBackgroundResponse) {
        runs[stored.id] = Run(stored: stored)
        runs[stored.id]?.task = Task {
            await self.work(stored)
            self.over(stored.id)
        }
    }

    private func over(_ id: String) { runs[id] = nil }

    // MARK: Work

    private nonisolated func work(_ stored: StoredBackgroundResponse) async {
        let (clock, store) = (environment.clock, environment.store)
        let principal = Principal(
            keyID: stored.keyID, project: stored.projectID, projectName: "", role: .developer)
        do {
            var pause = WorkPace.shortestPause
            for turn in 0... {
                guard await environment.gate.acquire() else { return }
                let tab = UsageTab()
                let reply = await ask(stored, principal.paying(on: tab), isFirst: turn == 0)
                await environment.gate.release()
                try Task.checkCancellation()
                if WorkPace.isWorthAnother(reply, tries: turn) {
                    try await clock.sleep(.milliseconds(pause))
                    pause = min(WorkPace.longestPause, pause * 2)
                    continue
                }
                // A whole answer was kept by the code that made it.
                guard reply.status >= 300 else { return }
                let usage = tab.close()
                let message = reply.body["error"]?["message"] ?? "the model could not be asked"
                return try await WorkPace.insist(clock) {
                    _ = try await store.change(background: stored.id, ends: true, usage: usage) { body in
                        var body = Self.with("failed", body)
                        body["error"] = ["code": "server_error", "message": message]
                        return body
                    }
                }
            }
        } catch {}
    }

    private nonisolated func ask(
        _ stored: StoredBackgroundResponse, _ principal: Principal, isFirst: Bool
    ) async -> InnerReply {
        if isFirst {
            // Only shown; where it cannot be written, "queued" stays.
            _ = try? await environment.store.change(background: stored.id, ends: false) { Self.with("in_progress", $0) }
        }
        return await environment.executor.execute(
            InnerRequest(
                path: "/v1/responses", body: stored.request, principal: principal, responseID: stored.id))
    }

    private static func with(_ status: String, _ body: JSONObject) -> JSONObject {
        var body = body
        body["status"] = .string(status)
        return body
    }
}
