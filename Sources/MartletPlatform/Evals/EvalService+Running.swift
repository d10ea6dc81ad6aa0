import Foundation
import MartletStore
import MartletWire

extension StoredEvalItem: WorkUnit {}

extension EvalService {
    /// Goes on with what an earlier `serve` left.
    func start() async throws {
        for run in try await store.unfinishedEvalRuns() { proceed(run) }
    }

    /// Ends what runs without a result; the next `serve` goes on.
    func stop() async {
        isStopping = true
        let all = runs
        for run in all.values { run.loading?.cancel() }
        for run in all.values {
            await run.work?.stop()
            await run.loading?.value
        }
        for id in waiters.keys { release(id) }
    }

    func hasWork() -> Bool { !runs.isEmpty }

    /// While the server stops, it is the next one's to run.
    func proceed(_ run: StoredEvalRun) {
        guard !isStopping else { return }
        runs[run.id] = Run(run: run)
        runs[run.id]?.loading = Task { await self.prepare(run) }
    }

    /// Ends a run's work and drops what is under way; those who wait for its end still wait.
    private func stopWork(_ id: String) async {
        guard let run = runs.removeValue(forKey: id) else { return }
        run.loading?.cancel()
        await run.work?.stop()
    }

    /// Ends the work of a run that is about to be deleted.
    func end(_ id: String) async {
        await stopWork(id)
        release(id)
    }

    /// Ends a run's work in the state that it has here. Where that cannot be stored, the run goes on.
    func end(_ run: StoredEvalRun) async throws {
        try await store.save(run)
        await stopWork(run.id)
        release(run.id)
    }

    /// Returns once the run is over, or the server stops.
    func untilOver(_ id: String) async {
        guard runs[id] != nil, !isStopping else { return }
        await withCheckedContinuation { waiters[id, default: []].append($0) }
    }

    private func release(_ id: String) {
        for waiter in waiters.removeValue(forKey: id) ?? [] { waiter.resume() }
    }

    // MARK: Items

    private func prepare(_ run: StoredEvalRun) async {
        var run = run
        while !isStopping, !Task.isCancelled {
            do {
                guard let eval = try await store.eval(run.evalID, projectID: run.projectID) else { return }
                let definition = try eval.definition()
                let data = try EvalDataSource(run.info.dataSource, definition: definition)
                if run.state == .queued {
                    try await loadItems(of: run, data, definition)
                    try Task.checkCancellation()
                    run.state = .inProgress
                    guard try await store.save(run) else { return }
                    runs[run.id]?.run = run
                }
                begin(run, definition, data)
                return
            } catch is CancellationError {
                return
            } catch let error as MartletError where error.httpStatus < 500 {
                // A copy: where it cannot be stored, the next turn begins with a run that is still queued.
                var failed = run
                failed.state = .failed
                failed.info.error = error
                if (try? await store.save(failed)) != nil { return over(run.id) }
            } catch {
                environment.logger.error("the eval run \(run.id) could not begin, and begins again: \(error)")
            }
            guard (try? await environment.clock.sleep(.seconds(1))) != nil else { return }
        }
    }

    /// Off the actor: a large file takes seconds.
    private nonisolated func loadItems(
        of run: StoredEvalRun, _ data: EvalDataSource, _ definition: EvalDefinition
    ) async throws {
        let store = environment.store
        try await store.deleteItems(ofRun: run.id)
        var items = EvalItems(run.id, definition, store)
        switch data.source {
        case .content(let content): for item in content { try await items.add(item) }
        case .file(let id): try await load(file: id, ofProject: run.projectID, into: &items)
        case .storedCompletions(let filter, let limit):
            var after: String?
            while items.count < limit {
                let kept = try await store.chatCompletions(
                    projectID: run.projectID, filter: filter, after: after,
                    limit: min(EvalItems.pageCount, limit - items.count), isNewestFirst: true)
                guard let last = kept.last else { break }
                for completion in kept { try await items.add(kept: Self.item(completion)) }
                after = last.id
            }
        case .responses(let filter):
            var after: String?
            while items.count < EvalDataSource.itemLimit {
                let kept = try await store.responses(
                    projectID: run.projectID, filter: filter, after: after,
                    limit: min(EvalItems.pageCount, EvalDataSource.itemLimit - items.count), isNewestFirst: true)
                guard let last = kept.last else { break }
                for response in kept { try await items.add(kept: Self.item(response)) }
                after = last.id
            }
        }
        guard items.count > 0 else {
            throw MartletError(
                .invalidData, "the data source has no items; keep answers with store: true, or mend the file")
        }
        try await items.flush()
    }

    private nonisolated func load(file id: String, ofProject project: String, into items: inout EvalItems) async throws
    {
        let file = try await environment.files.file(
            id, purposes: Set(FilePurpose.allCases), param: "data_source.source.id", projectID: project)
        let limit = environment.configuration.bodyLimitBytes
        try await environment.files.open(tree: file.contentHash).forEachLine(byteLimit: limit) { line in
            guard !line.isBlank else { return true }
            guard let bytes = line.bytes else {
                throw MartletError(.invalidData, "line \(line.number) has more than \(limit) bytes; cut it")
            }
            let value: JSON
            do {
                value = try JSONParser.parse(bytes)
                try EvalDataSource.check(value, path: "line \(line.number)")
            } catch let error as MartletError {
                throw MartletError(.invalidData, "line \(line.number) of the file: \(error.message)")
            }
            try await items.add(value, byteCount: line.byteCount)
            return true
        }
    }

    /// A kept chat as an item: what was asked is `item.input`, what was answered is the sample.
    private static func item(_ kept: StoredChatCompletion) -> JSON {
        let message = kept.body["choices"]?.array?.first?["message"]
        return [
            "item": [
                "input": kept.messages, "output": message ?? nil, "metadata": kept.metadata, "id": .string(kept.id),
            ],
            "sample": [
                "output_text": .string(message?["content"]?.string ?? ""),
                "output_tools": message?["tool_calls"] ?? [], "model": .string(kept.model),
            ],
        ]
    }

    /// A kept response as an item: the conversation before its answer is `item.input`, the answer is the sample.
    private static func item(_ kept: StoredResponse) -> JSON {
        var before = kept.conversation.array ?? []
        while let last = before.last, last["role"] == "assistant" { before.removeLast() }
        let output = kept.body["output"]?.array ?? []
        let text = output.flatMap { $0["content"]?.array ?? [] }.compactMap { $0["text"]?.string }.joined()
        return [
            "item": [
                "input": .array(before), "output": .array(output), "metadata": kept.body["metadata"] ?? [:],
                "id": .string(kept.id),
            ],
            "sample": [
                "output_text": .string(text), "output_tools": .array(output.filter { $0["type"] == "function_call" }),
                "model": kept.body["model"] ?? "",
            ],
        ]
    }

    // MARK: Running

    private func begin(_ run: StoredEvalRun, _ definition: EvalDefinition, _ data: EvalDataSource) {
        guard runs[run.id] != nil, !isStopping else { return }
        let id = run.id
        let (store, clock, logger) = (environment.store, environment.clock, environment.logger)
        let judge = EvalJudge(
            definition: definition, data: data,
            principal: Principal(keyID: run.keyID, project: run.projectID, projectName: "", role: .developer),
            executor: environment.executor, clock: clock, gate: environment.gate)
        let work = WorkRun<StoredEvalItem>.Work(
            load: { try await store.waitingItems(ofRun: id, after: $0, limit: $1) },
            perform: { item, tries in
                let verdict: EvalJudge.Verdict
                let tab = UsageTab()
                do {
                    var judge = judge
                    judge.principal.tab = tab
                    guard let whole = try await store.waitingItem(item.id) else { return .finished }
                    verdict = try await judge.judge(whole, tries: tries)
                } catch let busy as EvalJudge.Busy {
                    return busy.isHeld ? .held : .busy
                } catch is CancellationError {
                    return .dropped
                }
                guard !Task.isCancelled else { return .dropped }
                let usage = tab.close()
                try await WorkPace.insist(clock) {
                    _ = try await store.finish(
                        item: item.id, state: verdict.state, result: verdict.result, usage: usage, at: clock.now())
                }
                return .finished
            },
            end: { _ in
                guard var run = try await store.evalRun(id, projectID: nil) else { return }
                run.state = .completed
                try await store.save(run)
            })
        let started = WorkRun(
            WorkMachine(widest: environment.configuration.backgroundRequests), work, gate: environment.gate,
            clock: clock, note: { logger.warning("the eval run \(id) goes on after a failure: \($0)") },
            whenOver: { Task { await self.over(id) } })
        runs[id]?.work = started
        Task { await started.handle(.started) }
    }

    private func over(_ id: String) {
        runs[id] = nil
        release(id)
    }
}

/// The items of a run on their way into the store, a page at a time.
private struct EvalItems {
    static let pageCount = 500
    private static let pageByteCount = 4 << 20

    private(set) var count = 0
    private var page: [StoredEvalItem] = []
    private var byteCount = 0
    private let runID: String
    private let definition: EvalDefinition
    private let store: Store

    init(_ runID: String, _ definition: EvalDefinition, _ store: Store) {
        self.runID = runID
        self.definition = definition
        self.store = store
    }

    /// An item that a client gives, which must have the shape that the eval says.
    mutating func add(_ source: JSON, byteCount: Int = 0) async throws {
        try checkRoom()
        try definition.check(item: source["item"] ?? .null, number: count)
        try await append(source, byteCount)
    }

    /// An answer that was kept.
    mutating func add(kept source: JSON) async throws {
        try checkRoom()
        try await append(source, 0)
    }

    private func checkRoom() throws {
        guard count < EvalDataSource.itemLimit else {
            throw MartletError(
                .invalidData, "the data has more than \(EvalDataSource.itemLimit) items; use several runs")
        }
    }

    private mutating func append(_ source: JSON, _ bytes: Int) async throws {
        let id = "outputitem_\(ContentHash.of("\(runID)/\(count)").prefix(24))"
        page.append(StoredEvalItem(id: id, number: count, source: source))
        count += 1
        byteCount += bytes
        guard page.count >= Self.pageCount || byteCount >= Self.pageByteCount else { return }
        try await flush()
        try Task.checkCancellation()
    }

    mutating func flush() async throws {
        try await store.insert(page, ofRun: runID)
        (page, byteCount) = ([], 0)
    }
}
