import Foundation
import MartletStore
import MartletWire

/// Responses that a client asked for in the background: accepted at once, worked out where there is room, and fetched
/// later. One that is under way when `serve` dies is begun again by the next.
///
/// One that is streamed too tells its events to whoever asks, from any number on, while it is under way and after.
public actor BackgroundResponseService {
    private let environment: BackgroundEnvironment
    private let deployments: DeploymentService
    private var store: Store { environment.store }

    private struct Run {
        var stored: StoredBackgroundResponse
        /// Of one that is streamed.
        var log: ResponseLog?
        var task: Task<Void, Never>?
    }
    private var runs: [String: Run] = [:]
    private var isStopping = false
    private static let unfinishedLimit = 1000

    init(_ environment: BackgroundEnvironment, deployments: DeploymentService) {
        self.environment = environment
        self.deployments = deployments
    }

    /// Accepts a response; `kept.body` is what is shown of it until it is under way. Gives its events where the request
    /// says `stream`.
    ///
    /// Throws `modelNotFound`, `invalidRequest` for a model that writes no text, `rateLimited`.
    @discardableResult package func begin(
        _ id: String, request: JSON, kept: ResponseService.Kept, by principal: Principal
    ) async throws -> ResponseLog? {
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
        return proceed(stored, shown: kept.body)
    }

    /// The events of a response that is under way and streamed; nil for any other.
    package func log(of id: String, by principal: Principal) -> ResponseLog? {
        guard let run = runs[id], run.stored.projectID == principal.project else { return nil }
        return run.log
    }

    /// The events of a response that is over; nil where it was not streamed from the background.
    package func events(of id: String, by principal: Principal) async throws -> ResponseEvents? {
        try await store.events(ofResponse: id, projectID: principal.project)
    }

    /// Ends the work; the response as it is then, or nil where it is over or was none of the background.
    package func cancel(_ id: String, by principal: Principal) async throws -> JSON? {
        guard let run = runs[id], run.stored.projectID == principal.project else { return nil }
        let body = try await Self.end(id, run.log, in: store) { Self.with("cancelled", $0) }
        run.task?.cancel()
        return body
    }

    /// The response was deleted.
    package func forget(_ id: String, by principal: Principal) {
        guard let run = runs[id], run.stored.projectID == principal.project else { return }
        run.task?.cancel()
        guard let log = run.log else { return }
        log.finish(
            ResponseLog.error(MartletError(.notFound, "the response '\(id)' was deleted"), number: log.hold()))
    }

    /// Stores the end of a response that did not come to its own, and tells it; nil where it is over.
    ///
    /// The event is `response.failed`, whose response says how it ended: OpenAI's API has none for a cancelled one.
    private static func end(
        _ id: String, _ log: ResponseLog?, usage: [UsageRow] = [], in store: Store,
        _ change: @escaping @Sendable (JSONObject) -> JSONObject
    ) async throws -> JSON? {
        guard let log else { return try await store.change(background: id, ends: true, usage: usage, change) }
        let number = log.hold()
        let last: @Sendable (JSON) -> String = { ResponseLog.event("response.failed", number: number, response: $0) }
        do {
            let body = try await store.change(
                background: id, ends: true, usage: usage, events: { log.whole(endingWith: last($0)) }, change)
            // Where it was over already, whoever ended it tells so.
            if let body { log.finish(last(body)) }
            return body
        } catch {
            log.release()
            throw error
        }
    }

    // MARK: Life

    /// Goes on with what an earlier `serve` left.
    func start() async throws {
        for (stored, body) in try await store.takeUpBackgroundResponses() { proceed(stored, shown: body) }
    }

    func stop() async {
        isStopping = true
        let tasks = runs.values.compactMap(\.task)
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        for run in runs.values { run.log?.finish(nil, isStopped: true) }
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

    /// While the server stops, it is the next one's to work out.
    @discardableResult private func proceed(_ stored: StoredBackgroundResponse, shown: JSON) -> ResponseLog? {
        guard !isStopping else { return nil }
        var log: ResponseLog?
        if stored.request["stream"] == true {
            let (first, overflows) = stored.restarts.multipliedReportingOverflow(by: ResponseLog.numbersOfOneServe)
            let made = ResponseLog(createdAt: shown["created_at"]?.int ?? 0, first: overflows ? 0 : first)
            let queued = JSON.object(Self.with("queued", shown.object ?? [:]))
            for type in ResponseLog.acceptance {
                made.append([ResponseLog.event(type, number: made.next, response: queued)])
            }
            log = made
        }
        runs[stored.id] = Run(stored: stored, log: log)
        runs[stored.id]?.task = Task {
            await self.work(stored, log)
            self.over(stored.id)
        }
        return log
    }

    private func over(_ id: String) {
        // Where the server stops, those who follow are told by `stop`.
        guard !isStopping else { return }
        runs[id]?.log?.finish(nil)
        runs[id] = nil
    }

    // MARK: Work

    private nonisolated func work(_ stored: StoredBackgroundResponse, _ log: ResponseLog?) async {
        let (clock, store) = (environment.clock, environment.store)
        let principal = Principal(
            keyID: stored.keyID, project: stored.projectID, projectName: "", role: .developer)
        do {
            var pause = WorkPace.shortestPause
            var (tries, isFirst) = (0, true)
            while true {
                guard await environment.gate.acquire() else { return }
                let tab = UsageTab()
                let reply = await ask(stored, log, principal.paying(on: tab), isFirst: isFirst)
                await environment.gate.release()
                try Task.checkCancellation()
                isFirst = false
                if WorkPace.isWorthAnother(reply, tries: tries) {
                    if !WorkPace.isHeld(reply) { tries += 1 }
                    try await clock.sleep(.milliseconds(pause))
                    pause = min(WorkPace.longestPause, pause * 2)
                    continue
                }
                // A whole answer was kept by the code that made it.
                guard reply.status >= 300 else { return }
                let usage = tab.close()
                let message = reply.body["error"]?["message"] ?? "the model could not be asked"
                return try await WorkPace.insist(clock) {
                    _ = try await Self.end(stored.id, log, usage: usage, in: store) { body in
                        var body = Self.with("failed", body)
                        body["error"] = ["code": "server_error", "message": message]
                        return body
                    }
                }
            }
        } catch {}
    }

    private nonisolated func ask(
        _ stored: StoredBackgroundResponse, _ log: ResponseLog?, _ principal: Principal, isFirst: Bool
    ) async -> InnerReply {
        if isFirst {
            // Only shown; where it cannot be written, "queued" stays.
            _ = try? await environment.store.change(background: stored.id, ends: false) { Self.with("in_progress", $0) }
        }
        return await environment.executor.execute(
            InnerRequest(
                path: "/v1/responses", body: stored.request, principal: principal, responseID: stored.id, log: log))
    }

    private static func with(_ status: String, _ body: JSONObject) -> JSONObject {
        var body = body
        body["status"] = .string(status)
        return body
    }
}
