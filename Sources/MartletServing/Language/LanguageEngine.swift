import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

// N tokens of a pass, M rows to sample from, D width, V vocabulary

/// Computes answers of one model, pass after pass. Lives on the compute thread.
final class LanguageEngine {
    let pass: any AnswerPass
    let vocabulary: TokenVocabulary
    /// How a text's hidden states become one vector.
    let pooling: TextEncoder.Pooling
    let sampler = Sampler()
    var scheduler: LanguageScheduler
    var generations: [LanguageScheduler.RequestID: Generation] = [:]
    /// Parts of answers since the last delivery.
    private var outgoing:
        [(emit: @Sendable (Result<GenerationEvent, MartletError>) -> Void, Result<GenerationEvent, MartletError>)] = []
    /// Answers leave from a queue of their own: a slow reader must not hold the passes up.
    let delivery = DispatchQueue(label: "language-delivery")
    var embeddings: [EmbeddingWork] = []
    private var pace = PassPace()

    /// A row to sample from.
    private struct DueRow {
        var row: LanguageScheduler.Row
        var logits: Tensor
        /// The first of the row's logits: of its last token, or of all its tokens where the prompt is measured.
        var index: Int
        var count: Int
    }

    init(
        _ pass: any AnswerPass, vocabulary: TokenVocabulary, pooling: TextEncoder.Pooling = .mean,
        limits: LanguageScheduler.Limits, pageCount: Int
    ) {
        self.pass = pass
        self.pooling = pooling
        self.vocabulary = vocabulary
        scheduler = LanguageScheduler(limits: limits, pageCount: pageCount)
    }

    var now: UInt64 { MonotonicTime.now }

    /// Answers until the inbox is drained and every answer has ended; what a pass gave is told within `gather`.
    func run(_ inbox: LanguageInbox, gather: @escaping LanguageServer.Gather) {
        pass.betweenLayers = { inbox.answerPings() }
        while let items = inbox.take(waits: scheduler.isIdle && embeddings.isEmpty) {
            for item in items { handle(item) }
            if !scheduler.isIdle { step(inbox) } else { inbox.note(waiting: 0) }
            embedSome()
            deliver(gather)
        }
        // The process may end now: what was computed is told first.
        delivery.sync {}
    }

    private func handle(_ item: LanguageInbox.Item) {
        switch item {
        case .ping(let done): done()
        case .embed(let work): embeddings.append(work)
        case .cancel(let id):
            embeddings.cancel(id, delivery)
            scheduler.cancel(id)
            if let generation = generations.removeValue(forKey: id) {
                send(generation, .success(.done(generation.usage(now: now))))
            }
        case .submit(let plan):
            do {
                try scheduler.submit(
                    .init(
                        id: plan.id, prompt: plan.prompt + pass.answerStart, choiceCount: plan.choiceCount,
                        maxTokens: plan.maxTokens,
                        tenant: plan.cacheScope, owner: plan.owner, deadline: plan.deadline,
                        needsWholePrompt: plan.measuresPrompt, isBackground: plan.isBackground))
                generations[plan.id] = Generation(plan, start: pass.answerStart)
            } catch {
                outgoing.append((plan.emit, .failure(ServingFailure.wire(error))))
            }
        }
    }

    /// One pass: what the scheduler chose goes through the model, and each row that is due gets a token.
    private func step(_ inbox: LanguageInbox) {
        let pass = scheduler.next(now: now)
        inbox.note(waiting: scheduler.waitingCount)
        for id in pass.expired {
            let isStarted = generations[id]?.started != nil
            fail(
                id,
                MartletError(
                    .deadlineExceeded,
                    isStarted
                        ? "the answer was not whole by the request's deadline; ask for fewer tokens or allow more time"
                        : "the request waited past its deadline and was not started"))
        }
        for id in pass.preempted { generations[id.request]?.source?.forget(id.choice) }
        guard !pass.rows.isEmpty else { return }
        let begun = now
        for row in pass.rows { start(row, begun) }
        var results: [DueRow] = []
        do {
            results = try compute(pass.rows)
            pace.note(tokens: pass.rows.reduce(0) { $0 + $1.tokens.count }, nanoseconds: now &- begun)
            scheduler.promptTokens = pace.promptTokens ?? .max
        } catch {
            // One sequence must not fail its neighbours: alone, each gets its own result.
            for row in pass.rows {
                do {
                    results += try compute([row])
                } catch {
                    scheduler.cancel(row.id.request)
                    fail(row.id.request, ServingFailure.wire(error))
                }
            }
        }
        scheduler.computed()
        for result in results {
            do {
                try choose(result)
            } catch {
                scheduler.cancel(result.row.id.request)
                fail(result.row.id.request, ServingFailure.wire(error))
            }
        }
    }

    private func start(_ row: LanguageScheduler.Row, _ now: UInt64) {
        let id = row.id.request
        guard let generation = generations[id], generation.started == nil else { return }
        generations[id]?.started = now
        generations[id]?.cachedTokens = row.cachedTokens
        send(
            generation,
            .success(.started(promptTokens: generation.plan.prompt.count, cachedTokens: row.cachedTokens)))
    }

    /// The logits of the rows that are due.
    private func compute(_ rows: [LanguageScheduler.Row]) throws -> [DueRow] {
        let rows = adapted(rows)
        return try Tensor.inference {
            let hidden_ND = try pass.hidden(rows)
            var picked: [Int64] = []
            var found: [(row: PassRow, index: Int, count: Int)] = []
            var end = 0
            for row in rows {
                end += row.row.tokens.count
                let measures = measuresPrompt(row.row)
                guard row.row.samples || measures else { continue }
                let count = measures ? row.row.tokens.count : 1
                found.append((row, picked.count, count))
                for place in end - count..<end { picked.append(Int64(place)) }
            }
            guard !picked.isEmpty else { return [] }
            let hidden_MD = picked.count == end ? hidden_ND : try hidden_ND.indexSelect(0, Tensor(picked))
            let logits_MV = try pass.logits(hidden_MD, found.map { ($0.row.adapter, $0.count) })
            return found.map { DueRow(row: $0.row.row, logits: logits_MV, index: $0.index, count: $0.count) }
        }
    }

    /// The rows with their adapters, those of one adapter side by side.
    private func adapted(_ rows: [LanguageScheduler.Row]) -> [PassRow] {
        var order: [ObjectIdentifier: Int] = [:]
        let rows = rows.map { row in
            let generation = generations[row.id.request]
            let adapter = generation?.plan.adapter?.weights
            if let adapter, order[ObjectIdentifier(adapter)] == nil { order[ObjectIdentifier(adapter)] = order.count }
            return PassRow(row: row, adapter: adapter, source: generation?.source)
        }
        guard !order.isEmpty else { return rows }
        let place = { (row: PassRow) in row.adapter.flatMap { order[ObjectIdentifier($0)] } ?? -1 }
        return rows.enumerated().sorted { (place($0.element), $0.offset) < (place($1.element), $1.offset) }
            .map(\.element)
    }

    private func measuresPrompt(_ row: LanguageScheduler.Row) -> Bool {
        guard row.id.choice == 0, let generation = generations[row.id.request] else { return false }
        return generation.plan.measuresPrompt && row.start < generation.plan.prompt.count
            && generation.promptChances.count < generation.plan.prompt.count - 1
    }

    private func choose(_ result: DueRow) throws {
        guard generations[result.row.id.request] != nil else { return }
        let width = result.logits.size(-1)
        try result.logits.withUnsafeMutableBytes { bytes in
            let all = bytes.bindMemory(to: Float.self)
            func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> {
                UnsafeMutableBufferPointer(rebasing: all[index * width..<(index + 1) * width])
            }
            if measuresPrompt(result.row) { try measure(result, row) }
            guard result.row.samples else { return }
            try answer(result.row.id, row(result.index + result.count - 1))
        }
    }

    private func measure(_ result: DueRow, _ row: (Int) -> UnsafeMutableBufferPointer<Float>) throws {
        let id = result.row.id.request
        guard let plan = generations[id]?.plan else { return }
        for offset in 0..<result.count {
            let next = result.row.start + offset + 1
            guard next < plan.prompt.count else { return }
            // A sequence that gave its pages back is computed again; what was told of its prompt stands.
            guard next > generations[id]?.promptChances.count ?? 0 else { continue }
            let choice = try sampler.measure(
                row(result.index + offset), token: Int(plan.prompt[next]), top: plan.settings.topLogprobs ?? 0)
            generations[id]?.promptChances.append(chance(choice))
        }
    }

    func fail(_ id: LanguageScheduler.RequestID, _ error: MartletError) {
        guard let generation = generations.removeValue(forKey: id) else { return }
        send(generation, .failure(error))
    }

    func send(_ generation: Generation, _ event: Result<GenerationEvent, MartletError>) {
        outgoing.append((generation.plan.emit, event))
    }

    private func deliver(_ gather: @escaping LanguageServer.Gather) {
        guard !outgoing.isEmpty else { return }
        let parts = outgoing
        outgoing.removeAll(keepingCapacity: true)
        delivery.async { gather { for (emit, event) in parts { emit(event) } } }
    }
}
