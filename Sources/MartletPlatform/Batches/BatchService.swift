import Foundation
import Logging
import MartletStore
import MartletWire

/// Batches: files of requests that run in the gaps of those that someone waits for, each line once.
public actor BatchService {
    let environment: BackgroundEnvironment
    var store: Store { environment.store }
    /// Batches that are being worked on.
    var runs: [String: Run] = [:]
    var isStopping = false

    struct Run {
        var batch: StoredBatch
        var work: WorkRun<StoredBatchLine>?
        var reading: Task<Void, Never>?
        var timer: Task<Void, Never>?
    }

    package static let endpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
    private static let window = 86_400.0
    /// Within this a client's own retry finds the batch that it made.
    private static let retryWindow = 600.0
    private static let unfinishedLimit = 1000

    init(_ environment: BackgroundEnvironment) { self.environment = environment }

    /// What a client asks for.
    package struct Request: Sendable {
        package var inputFile: String
        package var endpoint: String
        package var metadata: JSON?
        /// Seconds from their making after which the output files go.
        package var fileSeconds: Int?
        package init(inputFile: String, endpoint: String, metadata: JSON?, fileSeconds: Int?) {
            self.inputFile = inputFile
            self.endpoint = endpoint
            self.metadata = metadata
            self.fileSeconds = fileSeconds
        }
    }

    /// A batch and what came of its lines so far.
    package struct View: Sendable, Equatable {
        package var batch: StoredBatch
        package var tally: StoredBatch.Tally
    }

    /// Accepts a batch; its lines are checked before the first of them runs. A client's own repetition (`isRetry`) gives
    /// the batch that it made.
    package func create(_ request: Request, isRetry: Bool = false, by principal: Principal) async throws -> View {
        try principal.require(.developer)
        guard !isStopping else { throw MartletError(.unavailable, "martlet serve is stopping; try again soon") }
        let file = try await environment.files.file(
            request.inputFile, purposes: [.batch], param: "input_file_id", projectID: principal.project)
        guard file.byteCount <= BatchReader.byteLimit else {
            throw MartletError(
                .invalidRequest,
                "the file has \(file.byteCount) bytes; a batch has at most \(BatchReader.byteLimit); cut it in several",
                param: "input_file_id")
        }
        let now = environment.clock.now()
        if isRetry, let made = try await repeated(request, by: principal, at: now) { return try await view(made) }
        let unfinished = runs.values.count { $0.batch.projectID == principal.project }
        guard unfinished < Self.unfinishedLimit else {
            throw MartletError(
                .rateLimited, "\(unfinished) batches of this project are not over; wait for some or cancel some")
        }
        var info = StoredBatch.Info(
            endpoint: request.endpoint, inputFile: request.inputFile, metadata: request.metadata,
            fileSeconds: request.fileSeconds, expiresAt: now + Self.window)
        info.times["created"] = now
        let batch = StoredBatch(
            id: "batch_\(try [UInt8].random(count: 16).hex)", projectID: principal.project, keyID: principal.keyID,
            state: .validating, createdAt: now, treeHash: file.contentHash, info: info)
        try await environment.audit.record("batch.create", on: "\(batch.id) \(request.inputFile)", by: principal)
        try await store.insert(batch)
        proceed(batch)
        return View(batch: batch, tally: .init())
    }

    private func repeated(_ request: Request, by principal: Principal, at now: Date) async throws -> StoredBatch? {
        try await store.batches(projectID: principal.project, after: nil, limit: 20).first {
            $0.keyID == principal.keyID && $0.info.inputFile == request.inputFile
                && $0.info.endpoint == request.endpoint && $0.info.metadata == request.metadata
                && now.timeIntervalSince($0.createdAt) < Self.retryWindow
        }
    }

    /// Newest first, those behind the batch `after`.
    package func list(after: String?, limit: Int, by principal: Principal) async throws -> (data: [View], hasMore: Bool)
    {
        try principal.require(.developer)
        if let after { _ = try await batch(after, param: "after", by: principal) }
        let found = try await store.batches(projectID: principal.project, after: after, limit: limit + 1)
        var views: [View] = []
        for batch in found.prefix(limit) { views.append(try await view(batch)) }
        return (views, found.count > limit)
    }

    package func show(_ id: String, by principal: Principal) async throws -> View {
        try await view(try await batch(id, by: principal))
    }

    /// What was done stays, in the output file; what was not is not done. Over within ten seconds.
    package func cancel(_ id: String, by principal: Principal) async throws -> View {
        let batch = try await batch(id, by: principal)
        guard !batch.state.isFinal else {
            throw MartletError(
                .conflict, "the batch '\(id)' is \(batch.state.rawValue) and cannot be cancelled; start a new one")
        }
        try await environment.audit.record("batch.cancel", on: id, by: principal)
        try await stopLines(id)
        return try await show(id, by: principal)
    }

    /// Begins no further line and ends those that run; `loss` is why, where nobody asked for it.
    private func stopLines(_ id: String, because loss: KeyLoss? = nil) async throws {
        guard var running = runs[id]?.batch, running.state == .validating || running.state == .inProgress else {
            return
        }
        running.state = .cancelling
        running.info.times["cancelling"] = environment.clock.now()
        if let loss {
            running.info.errors = [
                .init(
                    code: MartletError.Code.unauthenticated.rawValue, line: nil,
                    message: "the batch was cancelled because \(loss.reason); what is done stays in the output file",
                    param: nil)
            ]
        }
        let before = runs[id]?.batch
        runs[id]?.batch = running
        do {
            try await store.save(running)
        } catch {
            if let before, runs[id]?.batch == running { runs[id]?.batch = before }
            throw error
        }
        if let work = runs[id]?.work {
            await work.handle(.cancelRequested)
        } else {
            runs[id]?.reading?.cancel()
        }
    }

    /// Cancels the batches of keys that were revoked or have expired: what a key asks for ends with it.
    func endThoseOfLostKeys() async {
        for keyID in Set(runs.values.map(\.batch.keyID)) {
            guard let loss = await environment.keys.loss(of: keyID) else { continue }
            for (id, run) in runs where run.batch.keyID == keyID {
                guard run.batch.state == .validating || run.batch.state == .inProgress else { continue }
                do {
                    try await environment.audit.record(
                        "batch.cancel", on: id,
                        by: Principal(
                            keyID: keyID, project: run.batch.projectID, projectName: "", role: .developer),
                        outcome: loss.outcome)
                    try await stopLines(id, because: loss)
                } catch {
                    environment.logger.error(
                        "the batch \(id), whose key is lost, is cancelled a second later: \(error)")
                }
            }
        }
    }

    /// Whether a batch is being worked on.
    func hasWork() -> Bool { !runs.isEmpty }

    /// Throws the same `notFound` for an unknown id and for another project's.
    private func batch(_ id: String, param: String? = nil, by principal: Principal) async throws -> StoredBatch {
        try principal.require(.developer)
        guard let batch = try await store.batch(id, projectID: principal.project) else {
            await environment.audit.noteForeign(.batch, id, by: principal)
            throw MartletError(.notFound, "there is no batch '\(id.prefix(80))'; see GET /v1/batches", param: param)
        }
        return batch
    }

    private func view(_ batch: StoredBatch) async throws -> View {
        if let tally = batch.info.tally { return View(batch: batch, tally: tally) }
        return View(batch: batch, tally: try await store.tally(ofBatch: batch.id))
    }
}
