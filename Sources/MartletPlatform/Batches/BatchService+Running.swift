import Foundation
import MartletStore
import MartletWire

extension StoredBatchLine: WorkUnit {
    package var number: Int { line }
}

extension BatchService {
    /// Goes on with what an earlier `serve` left.
    func start() async throws {
        for batch in try await store.unfinishedBatches() { proceed(batch) }
    }

    /// Ends what runs without a result; the next `serve` goes on.
    func stop() async {
        isStopping = true
        let all = runs
        for run in all.values {
            run.timer?.cancel()
            run.reading?.cancel()
        }
        for run in all.values {
            await run.work?.stop()
            await run.reading?.value
        }
    }

    /// From the state that is stored to the next; while the server stops, that is the next one's to do.
    func proceed(_ batch: StoredBatch) {
        guard !isStopping else { return }
        runs[batch.id] = Run(batch: batch)
        switch batch.state {
        case .validating: runs[batch.id]?.reading = Task { await self.read(batch.id) }
        case .inProgress, .cancelling, .finalizing: run(batch)
        case .completed, .failed, .expired, .cancelled: runs[batch.id] = nil
        }
    }

    // MARK: Reading

    private func read(_ id: String) async {
        guard let batch = runs[id]?.batch else { return }
        while !isStopping, !Task.isCancelled {
            do {
                let findings = try await readLines(of: batch)
                try await accept(findings, id)
                return
            } catch is CancellationError {
                break
            } catch {
                environment.logger.error("the batch \(id) could not be read, and is read again: \(error)")
                guard (try? await environment.clock.sleep(.seconds(1))) != nil else { break }
            }
        }
        guard !isStopping, let cancelled = runs[id]?.batch, cancelled.state == .cancelling else { return }
        run(cancelled)
    }

    /// Off the actor: a large file takes seconds.
    private nonisolated func readLines(of batch: StoredBatch) async throws -> BatchReader.Findings {
        let file: LineFile
        do {
            file = try await environment.files.open(tree: batch.treeHash)
        } catch let error as MartletError where error.code == .notFound {
            var findings = BatchReader.Findings()
            findings.faults = [
                .init(
                    code: Self.lostFile, line: nil, message: "\(batch.info.inputFile): \(error.message)",
                    param: "input_file_id")
            ]
            return findings
        }
        try await environment.store.deleteLines(ofBatch: batch.id)
        let reader = BatchReader(
            endpoint: batch.info.endpoint, lineByteLimit: environment.configuration.bodyLimitBytes)
        return try await reader.read(file) { try await environment.store.insert($0, ofBatch: batch.id) }
    }

    private static let lostFile = "input_file_lost"

    private func accept(_ findings: BatchReader.Findings, _ id: String) async throws {
        guard var batch = runs[id]?.batch, batch.state == .validating else { throw CancellationError() }
        let now = environment.clock.now()
        batch.info.total = findings.faults.isEmpty ? findings.lineCount : 0
        batch.info.model = findings.model
        batch.info.errors = findings.faults
        batch.state = findings.faults.isEmpty ? .inProgress : .failed
        batch.info.times[findings.faults.isEmpty ? "in_progress" : "failed"] = now
        if batch.state == .failed { batch.info.tally = .init() }
        try await store.save(batch)
        // It may have been cancelled while it was stored.
        guard runs[id]?.batch.state == .validating else {
            if batch.state == .failed { runs[id] = nil } else { throw CancellationError() }
            return
        }
        runs[id]?.batch = batch
        if batch.state == .failed { runs[id] = nil } else { run(batch) }
    }

    // MARK: Running

    private func run(_ batch: StoredBatch) {
        guard !isStopping else { return }
        let id = batch.id
        let principal = Principal(
            keyID: batch.keyID, project: batch.projectID, projectName: "", role: .developer)
        let (store, executor, clock) = (environment.store, environment.executor, environment.clock)
        let content = WorkFiles.Content(environment.files, tree: batch.treeHash)
        let work = WorkRun<StoredBatchLine>.Work(
            load: { try await store.waitingLines(ofBatch: id, after: $0, limit: $1) },
            perform: { line, tries in
                let tab = UsageTab()
                let reply: InnerReply
                do {
                    let bytes = try await content.file().read(at: line.place, count: line.byteCount)
                    let body = try JSONParser.parse(bytes)["body"] ?? [:]
                    reply = await executor.execute(
                        InnerRequest(path: batch.info.endpoint, body: body, principal: principal.paying(on: tab)))
                } catch let error as MartletError where error.code == .notFound {
                    reply = Self.lost(error)
                }
                // What was asked of a model that was told to stop is not its answer.
                guard !Task.isCancelled else { return .dropped }
                if WorkPace.isWorthAnother(reply, tries: tries) { return WorkPace.isHeld(reply) ? .held : .busy }
                let result = BatchResult.line(line, batch: id, reply: reply)
                let usage = tab.close()
                try await WorkPace.insist(clock) {
                    _ = try await store.finish(
                        line: line.line, ofBatch: id, state: result.state, result: result.text, tokens: result.tokens,
                        usage: usage)
                }
                return .finished
            },
            end: { ending in try await self.finish(id, ending) })
        let logger = environment.logger
        let run = WorkRun(
            WorkMachine(widest: environment.configuration.backgroundRequests, firstNumber: 1), work,
            gate: environment.gate, clock: environment.clock,
            note: { logger.warning("the batch \(id) goes on after a failure: \($0)") },
            whenOver: { Task { await self.forget(id) } })
        runs[id]?.work = run
        let left = batch.info.expiresAt.timeIntervalSince(environment.clock.now())
        runs[id]?.timer = Task {
            if batch.state == .cancelling { return await run.handle(.cancelRequested) }
            guard left > 0 else { return await run.handle(.timeOver) }
            await run.handle(.started)
            guard (try? await clock.sleep(.seconds(left))) != nil else { return }
            await run.handle(.timeOver)
        }
    }

    /// What a line gets whose content is gone: no other try would find it.
    private static func lost(_ error: MartletError) -> InnerReply {
        let fault: JSON = [
            "message": .string(error.message), "type": "server_error", "param": nil, "code": .string(lostFile),
        ]
        return InnerReply(status: 500, body: ["error": fault], requestID: "")
    }

    private func forget(_ id: String) {
        runs[id]?.timer?.cancel()
        runs[id] = nil
    }

    // MARK: The end

    /// Writes the files and ends the batch, in one transaction with them.
    private func finish(_ id: String, _ ending: WorkMachine<StoredBatchLine>.Ending) async throws {
        guard var batch = runs[id]?.batch else { return }
        if ending == .completed, batch.state == .inProgress {
            batch.state = .finalizing
            batch.info.times["finalizing"] = environment.clock.now()
            runs[id]?.batch = batch
            try await store.save(batch)
        }
        let (files, expiredCount) = try await writeFiles(of: batch, ending)
        defer { environment.files.blobs.unpin(files.compactMap { $0?.tree.files.first?.hash }) }
        var tally = try await store.tally(ofBatch: id)
        tally.failed += expiredCount
        batch.info.tally = tally
        batch.info.outputFile = files[0]?.file.id
        batch.info.errorFile = files[1]?.file.id
        switch ending {
        case .completed: batch.state = batch.state == .cancelling ? .cancelled : .completed
        case .expired: batch.state = .expired
        case .cancelled: batch.state = .cancelled
        }
        batch.info.times[batch.state.rawValue] = environment.clock.now()
        try await store.save(batch, files: files.compactMap { $0 })
        runs[id]?.batch = batch
    }

    /// The output and the error file, nil where there is nothing for it; off the actor, a page of lines at a time.
    private nonisolated func writeFiles(
        of batch: StoredBatch, _ ending: WorkMachine<StoredBatchLine>.Ending
    ) async throws -> (files: [BatchFile?], expiredCount: Int) {
        let store = environment.store, page = 200
        var expiredCount = 0
        var files: [BatchFile?] = []
        for (state, name) in [(StoredBatchLine.State.completed, "output"), (.failed, "error")] {
            let writer = try environment.files.writer()
            var last = 0
            while case let lines = try await store.lines(ofBatch: batch.id, state: state, after: last, limit: page),
                let end = lines.last
            {
                for line in lines { try writer.append(line.result ?? "{}") }
                last = end.line
            }
            if state == .failed, ending == .expired {
                last = 0
                while case let lines = try await store.waitingLines(ofBatch: batch.id, after: last, limit: page),
                    let end = lines.last
                {
                    for line in lines { try writer.append(BatchResult.expired(line, batch: batch.id)) }
                    expiredCount += lines.count
                    last = end.line
                }
            }
            guard writer.lineCount > 0 else {
                files.append(nil)
                continue
            }
            files.append(
                try environment.files.describe(
                    try writer.finish(), filename: "\(batch.id)_\(name).jsonl", seconds: batch.info.fileSeconds))
        }
        return (files, expiredCount)
    }
}
