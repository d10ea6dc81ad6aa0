import MartletStore
import MartletText
import MartletWire

/// Asks the model about one item and judges its answer.
struct EvalJudge: Sendable {
    let definition: EvalDefinition
    let data: EvalDataSource
    var principal: Principal
    let executor: ExecutorSlot
    let clock: PlatformClock
    let gate: BackgroundGate

    /// There was no place for the sample at this moment, or its project may not ask.
    struct Busy: Error {
        let isHeld: Bool
    }

    struct Verdict: Sendable {
        var state: StoredEvalItem.State
        /// `{sample, results, usage}`.
        var result: JSON
    }

    private struct Use {
        var model: String
        var tokens: StoredBatch.Tally
        var json: JSON {
            [
                "model": .string(model), "input": JSON(tokens.inputTokens), "cached": JSON(tokens.cachedTokens),
                "output": JSON(tokens.outputTokens),
            ]
        }
    }

    /// Throws `Busy` where the sample is worth another try after `tries`, and `CancellationError`.
    func judge(_ item: StoredEvalItem, tries: Int) async throws -> Verdict {
        var uses: [Use] = []
        var context = GraderContext(item: item.source["item"] ?? .null, sample: item.source["sample"])
        var sample: JSON
        do {
            if let sampling = data.sampling {
                let (answer, tokens) = try await self.sample(sampling, context, tries: tries)
                uses.append(Use(model: sampling.model, tokens: tokens))
                context = GraderContext(item: context.item, outputText: answer.text, toolCalls: answer.toolCalls)
                sample = answer.shown
            } else {
                sample = Answer.shown(given: item.source)
                if let text = context.sample?["output_text"]?.string, context.sample?["output_json"] == nil {
                    let parsed = GraderContext(item: .null, outputText: text).sample?["output_json"]
                    if case .object(var object)? = context.sample, let parsed {
                        object["output_json"] = parsed
                        context.sample = .object(object)
                    }
                }
            }
        } catch let error as MartletError {
            let result: JSON = [
                "sample": Answer.shown(error: error, model: data.sampling?.model ?? ""), "results": [], "usage": [],
            ]
            return Verdict(state: .error, result: result)
        }
        var results: [JSON] = []
        var hasFailed = false, hasError = false
        for criterion in definition.criteria {
            let (result, passed, used) = try await apply(criterion, context)
            results.append(result)
            uses += used
            switch passed {
            case true?: break
            case false?: hasFailed = true
            case nil: hasError = true
            }
        }
        if case .object(var object) = sample, object["model"] == nil {
            object["model"] = ""
            sample = .object(object)
        }
        return Verdict(
            state: hasError ? .error : hasFailed ? .fail : .pass,
            result: ["sample": sample, "results": .array(results), "usage": .array(uses.map(\.json))])
    }

    /// Nil for `passed` where the rule could not be applied.
    private func apply(
        _ criterion: EvalDefinition.Criterion, _ context: GraderContext
    ) async throws -> (JSON, passed: Bool?, [Use]) {
        let grader = criterion.grader
        var object: JSONObject = ["name": .string(grader.name), "type": .string(grader.type)]
        var uses: [Use] = []
        do {
            var answers: [String] = []
            for question in try grader.questions(context) {
                let (text, tokens) = try await asker.ask(question.body, by: principal)
                answers.append(text)
                uses.append(Use(model: question.model, tokens: tokens))
            }
            let score = try grader.score(context, answers: answers)
            let passed = criterion.passes(score)
            object["passed"] = .bool(passed)
            object["score"] = .double(score.value)
            if !answers.isEmpty { object["sample"] = ["outputs": .array(answers.map { .string($0) })] }
            if let label = score.label { object["label"] = .string(label) }
            return (.object(object), passed, uses)
        } catch let error as MartletError {
            object["passed"] = false
            object["score"] = 0.0
            object["error"] = .string(error.message)
            return (.object(object), nil, uses)
        }
    }

    // MARK: Models

    private var asker: ModelAsker { ModelAsker(executor: executor, clock: clock, gate: gate) }

    private func sample(
        _ sampling: EvalDataSource.Sampling, _ context: GraderContext, tries: Int
    ) async throws -> (Answer, StoredBatch.Tally) {
        let messages: JSON
        switch sampling.messages {
        case .template(let template): messages = .array(try template.render(context))
        case .reference(let place):
            guard let value = try place.value(context), value.array != nil else {
                throw MartletError(.invalidData, "'\(place.source)' is no list of messages in this item; mend the data")
            }
            messages = value
        }
        let isChat = sampling.endpoint == "/v1/chat/completions"
        var body = sampling.options
        body["model"] = .string(sampling.model)
        body[isChat ? "messages" : "input"] = messages
        let reply = await executor.execute(
            InnerRequest(path: sampling.endpoint, body: .object(body), principal: principal))
        try Task.checkCancellation()
        if WorkPace.isWorthAnother(reply, tries: tries) { throw Busy(isHeld: WorkPace.isHeld(reply)) }
        try ModelAsker.check(reply)
        return (Answer(reply.body, messages: messages, request: body), BatchResult.tokens(reply.body))
    }
}
