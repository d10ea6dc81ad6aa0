import MartletText
import MartletWire
import Synchronization

/// The constraints of a model's answers, compiled once for equal requests.
final class ConstraintLibrary: Sendable {
    private let text: LanguageText
    /// Made for the first request that needs one: the index of a large vocabulary takes a while.
    private let cache = Mutex<ConstraintCache?>(nil)

    init(_ text: LanguageText) { self.text = text }

    /// Gives a plan the constraint and the reader of calls that the request's form asks for. Takes up to a second for a
    /// schema and for the functions.
    /// - Throws: `invalidRequest` that names what in the schema is not supported.
    func apply(_ request: GenerationRequest, to plan: inout GenerationPlan) throws {
        let format = text.toolFormat ?? .hermes
        switch request.form {
        case .text: return
        case .jsonObject: plan.constraint = AnswerConstraint(try machine(.jsonObject).start())
        case .jsonSchema(let schema):
            plan.constraint = AnswerConstraint(try machine(.jsonSchema(schema)).start())
        case .tools(let tools):
            call(tools, format, &plan)
            plan.choosesCalls = true
            // What cannot be held to is left to the model: it was asked to choose for itself.
            let calls = try? offered(tools) {
                .textOrToolCalls($0, format, isParallel: request.parallelToolCalls)
            }.start()
            plan.constraint = calls.map { AnswerConstraint($0) }
            return
        case .requiredTools(let tools):
            call(tools, format, &plan)
            plan.constraint = AnswerConstraint(
                try machine(.toolCalls(tools, format, isParallel: request.parallelToolCalls)).start(), kind: .calls)
        case .jsonOrTools(let tools, let schema):
            call(tools, format, &plan)
            let object = format.isBare ? Constraint.jsonObjectUnlikeCalls(tools.map(\.name)) : .jsonObject
            let calls = try offered(tools) { .offeredCalls($0, format, isParallel: request.parallelToolCalls) }
            plan.constraint = AnswerConstraint(
                text: try machine(schema.map { Constraint.jsonSchema($0) } ?? object).start(),
                orCalls: try calls.start())
        }
        // The constraint alone says when an answer may end.
        if plan.constraint != nil { plan.settings.minTokens = 0 }
    }

    /// Calls that the model may make or not. What all the functions' schemas are together may be too much to be held to:
    /// then arguments are any objects.
    private func offered(
        _ tools: [GenerationRequest.Tool], _ form: ([GenerationRequest.Tool]) -> Constraint
    ) throws -> ConstraintMachine {
        if let machine = try? machine(form(tools)) { return machine }
        return try machine(form(tools.map { GenerationRequest.Tool(name: $0.name, parameters: ["type": "object"]) }))
    }

    private func call(_ tools: [GenerationRequest.Tool], _ format: ToolCallFormat, _ plan: inout GenerationPlan) {
        plan.calls = ToolCallParser(format, names: Set(tools.map(\.name)))
        for (mark, token) in text.markers { plan.marks[token] = mark }
    }

    private func machine(_ constraint: Constraint) throws -> ConstraintMachine {
        if let known = cache.withLock({ $0 }) { return try known.machine(for: constraint) }
        let made = ConstraintCache(TokenMaskIndex(text.vocabulary), markers: text.markers)
        let kept = cache.withLock { cache in
            cache = cache ?? made
            return cache ?? made
        }
        return try kept.machine(for: constraint)
    }
}
