import MartletText
import MartletWire

extension LanguageEngine {
    /// Chooses the next token of a sequence and tells of it.
    func answer(_ id: LanguageScheduler.SequenceID, _ row: UnsafeMutableBufferPointer<Float>) throws {
        guard var generation = generations[id.request] else { return }
        let plan = generation.plan
        if generation.firstToken == nil { generation.firstToken = now }
        if generation.answers[id.choice].tokenCount == 0, let echo = plan.echo {
            send(generation, .success(.text(choice: id.choice, echo, tokens: echoed(generation))))
        }
        guard plan.maxTokens > 0 else { return try finish(id, &generation, .length) }
        let choice = try choose(row, &generation.answers[id.choice], plan)
        generation.answers[id.choice].tokenCount += 1
        let isBound = generation.answers[id.choice].constraint?.isFree == false
        if vocabulary.endTokens.contains(choice.token), isBound || !plan.ignoresEnd {
            if plan.tellsEnd {
                try give(generation.answers[id.choice].text.push([], chance(choice)), id, &generation)
            }
            return try finish(id, &generation, .stop)
        }
        var bytes = bytes(choice.token, plan)
        if plan.dropsFirstSpace, generation.answers[id.choice].isBlank, !bytes.isEmpty {
            generation.answers[id.choice].isBlank = false
            if bytes[0] == UInt8(ascii: " ") { bytes.removeFirst() }
        }
        let piece = generation.answers[id.choice].text.push(
            bytes, plan.settings.topLogprobs == nil ? nil : chance(choice))
        try give(piece, id, &generation)
        let answer = generation.answers[id.choice]
        if answer.text.isStopped || answer.constraint?.mustEnd == true { return try finish(id, &generation, .stop) }
        if answer.tokenCount >= plan.maxTokens {
            return try finish(id, &generation, answer.hasWholeCalls ? .stop : .length)
        }
        generations[id.request] = generation
        scheduler.append(Int32(choice.token), to: id)
    }

    /// The prompt's tokens with their chances; nothing comes before the first, so it has none.
    private func echoed(_ generation: Generation) -> [TokenChance] {
        guard generation.plan.measuresPrompt, let first = generation.plan.prompt.first else { return [] }
        let unknown = Sampler.Choice(token: Int(first), logprob: -.infinity, top: [])
        return [chance(unknown)] + generation.promptChances
    }

    private func choose(
        _ row: UnsafeMutableBufferPointer<Float>, _ answer: inout Answer, _ plan: GenerationPlan
    ) throws -> Sampler.Choice {
        guard let constraint = answer.constraint else { return try sampler.choose(row, &answer.sampler) }
        return constraint.isFree
            ? try chooseText(row, constraint, &answer, plan) : try choose(row, within: constraint, &answer, plan)
    }

    /// Chooses as the model likes, but for a token that goes past what begins a call with what no call goes on with.
    private func chooseText(
        _ row: UnsafeMutableBufferPointer<Float>, _ constraint: AnswerConstraint, _ answer: inout Answer,
        _ plan: GenerationPlan
    ) throws -> Sampler.Choice {
        let original = answer.sampler.changesRows ? Array(row) : []
        var next = constraint
        var state = answer.sampler
        var choice = try sampler.choose(row, &state)
        if try !next.take(choice.token) {
            if !original.isEmpty { _ = row.update(fromContentsOf: original) }
            state = answer.sampler
            var mask: [UInt64] = []
            try constraint.mask(into: &mask)
            choice = try sampler.choose(row, &state, mask: mask)
            try next.advance(token: choice.token)
        }
        // An end that is passed over is no end.
        if next.hasEnded, plan.ignoresEnd { next = constraint }
        if !next.isFree { state.mayEnd() }
        answer.constraint = next
        answer.sampler = state
        return choice
    }

    /// Chooses within the answer's constraint, which is closed in time to be whole at the last token. A call that the
    /// model began too late for that is left as the model writes it: closed by force it would lack what it was to say,
    /// and be cut off all the same.
    private func choose(
        _ row: UnsafeMutableBufferPointer<Float>, within constraint: AnswerConstraint, _ answer: inout Answer,
        _ plan: GenerationPlan
    ) throws -> Sampler.Choice {
        let original = Array(row)
        var mask: [UInt64] = []
        try constraint.mask(into: &mask)
        guard mask.contains(where: { $0 != 0 }) else {
            throw MartletError(
                .invalidRequest, "no token of this model's vocabulary goes on with an answer of the form asked for",
                param: "response_format")
        }
        var next = constraint
        var state = answer.sampler
        var choice = try sampler.choose(row, &state, mask: mask)
        try next.advance(token: choice.token)
        let left = plan.maxTokens - answer.tokenCount - 1
        let canBeWhole = !plan.choosesCalls || constraint.closingDistance <= left + 1
        if !next.hasEnded, next.closingDistance > left, canBeWhole {
            _ = row.update(fromContentsOf: original)
            next = constraint
            state = answer.sampler
            try constraint.closingMask(into: &mask)
            choice = try sampler.choose(row, &state, mask: mask)
            try next.advance(token: choice.token)
        }
        answer.sampler = state
        answer.constraint = next
        return choice
    }

    /// What a token adds to the text. The marks of tool calls may be special tokens, which say nothing otherwise.
    private func bytes(_ token: Int, _ plan: GenerationPlan) -> [UInt8] {
        if let mark = plan.marks[token] { return Array(mark.utf8) }
        return token < vocabulary.count ? vocabulary.bytes[token] ?? [] : []
    }

    func chance(_ choice: Sampler.Choice) -> TokenChance {
        func bytes(_ token: Int) -> [UInt8] { token < vocabulary.count ? vocabulary.bytes[token] ?? [] : [] }
        return TokenChance(
            id: choice.token, bytes: bytes(choice.token), logprob: choice.logprob,
            top: choice.top.map { .init(id: $0.id, bytes: bytes($0.id), logprob: $0.logprob) })
    }

    private func give(
        _ piece: AnswerText.Piece, _ id: LanguageScheduler.SequenceID, _ generation: inout Generation
    ) throws {
        guard !piece.isEmpty else { return }
        guard generation.answers[id.choice].calls != nil else {
            return send(generation, .success(.text(choice: id.choice, piece.text, tokens: piece.tokens)))
        }
        generation.answers[id.choice].untold += piece.tokens
        try read(generation.answers[id.choice].settled(piece.text), id, &generation)
    }

    /// Tells of text that is made of calls, or was found to be none.
    private func read(_ text: String, _ id: LanguageScheduler.SequenceID, _ generation: inout Generation) throws {
        guard !text.isEmpty else { return }
        let parts = try generation.answers[id.choice].calls?.append(text) ?? [.text(text)]
        tell(parts, id, &generation)
    }

    private func tell(
        _ parts: [ToolCallParser.Part], _ id: LanguageScheduler.SequenceID, _ generation: inout Generation
    ) {
        for part in parts {
            switch part {
            case .text(let text):
                let tokens = generation.answers[id.choice].untold
                generation.answers[id.choice].untold = []
                send(generation, .success(.text(choice: id.choice, text, tokens: tokens)))
            case .call(let index, let name):
                generation.answers[id.choice].untold = []
                let call = "call_" + String((0..<24).compactMap { _ in Self.letters.randomElement() })
                send(generation, .success(.toolCall(choice: id.choice, index: index, id: call, name: name)))
            case .arguments(let index, let text):
                generation.answers[id.choice].untold = []
                send(generation, .success(.toolArguments(choice: id.choice, index: index, text)))
            }
        }
    }

    private static let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

    private func finish(
        _ id: LanguageScheduler.SequenceID, _ generation: inout Generation, _ reason: GenerationEvent.Finish
    ) throws {
        try give(generation.answers[id.choice].text.flush(), id, &generation)
        var reason = reason
        let isCut = reason == .length || generation.answers[id.choice].text.isStopped
        try read(generation.answers[id.choice].settled("", isLast: true), id, &generation)
        let isCall = generation.answers[id.choice].constraint?.kind == .calls
        if let rest = try generation.answers[id.choice].calls?.finish(isCut: isCut, isCall: isCall) {
            tell(rest, id, &generation)
            if reason == .stop, let calls = generation.answers[id.choice].calls, calls.callCount > 0, !calls.endsInCall
            {
                reason = .toolCalls
            }
        }
        send(
            generation,
            .success(
                .finished(
                    choice: id.choice, reason, completionTokens: generation.answers[id.choice].tokenCount)))
        scheduler.finish(id)
        generation.source?.forget(id.choice)
        generation.open -= 1
        if generation.open == 0 {
            generations[id.request] = nil
            send(generation, .success(.done(generation.usage(now: now))))
        } else {
            generations[id.request] = generation
        }
    }
}
