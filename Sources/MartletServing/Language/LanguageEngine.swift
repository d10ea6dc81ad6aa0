import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

// N tokens of a pass, M rows to sample from, D width, V vocabulary

/// Computes answers of one model, pass after pass. Lives on the compute thread.
final class LanguageEngine {
    private let model: any LanguageModel
    private let vocabulary: TokenVocabulary
    private let attention: PagedAttention
    private let sampler = Sampler()
    private var scheduler: LanguageScheduler
    private var generations: [LanguageScheduler.RequestID: Generation] = [:]
    /// Parts of answers since the last delivery.
    private var outgoing:
        [(emit: @Sendable (Result<GenerationEvent, MartletError>) -> Void, Result<GenerationEvent, MartletError>)] = []
    /// Answers leave from a queue of their own: a slow reader must not hold the passes up.
    private let delivery = DispatchQueue(label: "language-delivery")

    /// A row to sample from.
    private struct DueRow {
        var row: LanguageScheduler.Row
        var logits: Tensor
        /// The first of the row's logits: of its last token, or of all its tokens where the prompt is measured.
        var index: Int
        var count: Int
    }

    init(
        _ model: any LanguageModel, vocabulary: TokenVocabulary, limits: LanguageScheduler.Limits, pageCount: Int
    ) throws {
        self.model = model
        self.vocabulary = vocabulary
        attention = try PagedAttention(model.geometry, pageCount: pageCount)
        scheduler = LanguageScheduler(limits: limits, pageCount: pageCount)
    }

    private var now: UInt64 { InferenceQueue.now }

    /// Answers until the inbox is drained and every answer has ended.
    func run(_ inbox: LanguageInbox) {
        while let items = inbox.take(waits: scheduler.isIdle) {
            for item in items { handle(item) }
            if !scheduler.isIdle { step() }
            deliver()
        }
    }

    private func handle(_ item: LanguageInbox.Item) {
        switch item {
        case .ping(let done): done()
        case .embed(let inputs, let done):
            let result = Result { try embed(inputs) }.mapError(LanguageServer.wire)
            delivery.async { done(result) }
        case .cancel(let id):
            scheduler.cancel(id)
            if let generation = generations.removeValue(forKey: id) {
                send(generation, .success(.done(generation.usage(now: now))))
            }
        case .submit(let plan):
            do {
                try scheduler.submit(
                    .init(
                        id: plan.id, prompt: plan.prompt, choiceCount: plan.choiceCount, maxTokens: plan.maxTokens,
                        tenant: plan.tenant, owner: plan.owner, deadline: plan.deadline,
                        needsWholePrompt: plan.measuresPrompt))
                generations[plan.id] = Generation(plan)
            } catch {
                outgoing.append((plan.emit, .failure(LanguageServer.wire(error))))
            }
        }
    }

    /// One pass: what the scheduler chose goes through the model, and each row that is due gets a token.
    private func step() {
        let pass = scheduler.next(now: now)
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
        guard !pass.rows.isEmpty else { return }
        let begun = now
        for row in pass.rows { start(row, begun) }
        var results: [DueRow] = []
        do {
            results = try compute(pass.rows)
        } catch {
            // One sequence must not fail its neighbours: alone, each gets its own result.
            for row in pass.rows {
                do {
                    results += try compute([row])
                } catch {
                    scheduler.cancel(row.id.request)
                    fail(row.id.request, LanguageServer.wire(error))
                }
            }
        }
        scheduler.computed()
        for result in results {
            do {
                try choose(result)
            } catch {
                scheduler.cancel(result.row.id.request)
                fail(result.row.id.request, LanguageServer.wire(error))
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
        try Tensor.inference {
            try attention.begin(rows)
            let tokens = try Tensor(rows.flatMap { $0.tokens.map(Int64.init) })
            let hidden_ND = try model.hidden(tokens, attention, .inference())
            var picked: [Int64] = []
            var found: [(row: LanguageScheduler.Row, index: Int, count: Int)] = []
            var end = 0
            for row in rows {
                end += row.tokens.count
                let measures = measuresPrompt(row)
                guard row.samples || measures else { continue }
                let count = measures ? row.tokens.count : 1
                found.append((row, picked.count, count))
                for place in end - count..<end { picked.append(Int64(place)) }
            }
            guard !picked.isEmpty else { return [] }
            let hidden_MD = picked.count == end ? hidden_ND : try hidden_ND.indexSelect(0, Tensor(picked))
            let logits_MV = try model.logits(hidden_MD, .inference()).to(.float32).contiguous()
            return found.map { DueRow(row: $0.row, logits: logits_MV, index: $0.index, count: $0.count) }
        }
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
            let choice = try sampler.measure(
                row(result.index + offset), token: Int(plan.prompt[next]), top: plan.settings.topLogprobs ?? 0)
            generations[id]?.promptChances.append(chance(choice))
        }
    }

    /// Chooses the next token of a sequence and tells of it.
    private func answer(_ id: LanguageScheduler.SequenceID, _ row: UnsafeMutableBufferPointer<Float>) throws {
        guard var generation = generations[id.request] else { return }
        let plan = generation.plan
        if generation.firstToken == nil { generation.firstToken = now }
        if generation.answers[id.choice].tokenCount == 0, let echo = plan.echo {
            send(generation, .success(.text(choice: id.choice, echo, tokens: generation.promptChances)))
        }
        guard plan.maxTokens > 0 else {
            return finish(id, &generation, .length)
        }
        let choice = try sampler.choose(row, &generation.answers[id.choice].sampler)
        generation.answers[id.choice].tokenCount += 1
        let isEnd = vocabulary.endTokens.contains(choice.token) && !plan.ignoresEnd
        if isEnd { return finish(id, &generation, .stop) }
        let bytes = choice.token < vocabulary.count ? vocabulary.bytes[choice.token] ?? [] : []
        let piece = generation.answers[id.choice].text.push(
            bytes, plan.settings.topLogprobs == nil ? nil : chance(choice))
        give(piece, id, generation)
        if generation.answers[id.choice].text.isStopped { return finish(id, &generation, .stop) }
        if generation.answers[id.choice].tokenCount >= plan.maxTokens { return finish(id, &generation, .length) }
        generations[id.request] = generation
        scheduler.append(Int32(choice.token), to: id)
    }

    private func chance(_ choice: Sampler.Choice) -> TokenChance {
        func bytes(_ token: Int) -> [UInt8] { token < vocabulary.count ? vocabulary.bytes[token] ?? [] : [] }
        return TokenChance(
            id: choice.token, bytes: bytes(choice.token), logprob: choice.logprob,
            top: choice.top.map { .init(id: $0.id, bytes: bytes($0.id), logprob: $0.logprob) })
    }

    private func give(_ piece: AnswerText.Piece, _ id: LanguageScheduler.SequenceID, _ generation: Generation) {
        guard !piece.isEmpty else { return }
        send(generation, .success(.text(choice: id.choice, piece.text, tokens: piece.tokens)))
    }

    private func finish(
        _ id: LanguageScheduler.SequenceID, _ generation: inout Generation, _ reason: GenerationEvent.Finish
    ) {
        give(generation.answers[id.choice].text.flush(), id, generation)
        send(
            generation,
            .success(
                .finished(
                    choice: id.choice, reason, completionTokens: generation.answers[id.choice].tokenCount)))
        scheduler.finish(id)
        generation.open -= 1
        if generation.open == 0 {
            generations[id.request] = nil
            send(generation, .success(.done(generation.usage(now: now))))
        } else {
            generations[id.request] = generation
        }
    }

    private func fail(_ id: LanguageScheduler.RequestID, _ error: MartletError) {
        guard let generation = generations.removeValue(forKey: id) else { return }
        send(generation, .failure(error))
    }

    private func send(_ generation: Generation, _ event: Result<GenerationEvent, MartletError>) {
        outgoing.append((generation.plan.emit, event))
    }

    private func deliver() {
        guard !outgoing.isEmpty else { return }
        let parts = outgoing
        outgoing.removeAll(keepingCapacity: true)
        delivery.async { for (emit, event) in parts { emit(event) } }
    }

    /// The mean of each text's last hidden states, scaled to length 1.
    private func embed(_ inputs: [[Int32]]) throws -> [[Float]] {
        try Tensor.inference {
            try inputs.map { tokens in
                let attention = try SequenceAttention(lengths: [tokens.count])
                let hidden_ND = try model.hidden(Tensor(tokens.map(Int64.init)), attention, .inference())
                let mean = try hidden_ND.mean([0]).array(of: Float.self)
                let length = mean.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                return length > 0 ? mean.map { Float(Double($0) / length) } : mean
            }
        }
    }
}
