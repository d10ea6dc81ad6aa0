import MartletText
import MartletWire
import Synchronization

/// The constraints of a model's answers: compiled once for equal requests, the last ones kept.
final class ConstraintLibrary: Sendable {
    private struct Shelf {
        var index: TokenMaskIndex?
        var machines: [String: (machine: ConstraintMachine, used: UInt64)] = [:]
        var clock: UInt64 = 0
    }

    /// Constraints that are kept.
    private static let capacity = 64

    private let text: LanguageText
    private let shelf = Mutex(Shelf())

    init(_ text: LanguageText) { self.text = text }

    /// Gives a plan the constraint and the reader of calls that the request's form asks for. Takes up to a second.
    /// - Throws: `invalidRequest` that names what in the schema is not supported.
    func apply(_ request: GenerationRequest, to plan: inout GenerationPlan) throws {
        let format = text.toolFormat ?? .hermes
        switch request.form {
        case .text: return
        case .jsonObject: plan.constraint = try machine("object", .jsonObject).start()
        case .jsonSchema(let schema):
            plan.constraint = try machine("schema \(schema.serialized())", .jsonSchema(schema)).start()
        case .tools(let tools): call(tools, format, &plan)
        case .requiredTools(let tools):
            call(tools, format, &plan)
            let key = tools.map { "\($0.name) \($0.parameters.serialized())" }.joined(separator: "\n")
            plan.constraint = try machine(
                "tools \(request.parallelToolCalls) \(key)",
                .toolCalls(tools, format, isParallel: request.parallelToolCalls)
            ).start()
        }
        // The constraint alone says when an answer may end.
        if plan.constraint != nil { plan.settings.minTokens = 0 }
    }

    private func call(_ tools: [GenerationRequest.Tool], _ format: ToolCallFormat, _ plan: inout GenerationPlan) {
        plan.calls = ToolCallParser(format, names: Set(tools.map(\.name)))
        for (mark, token) in text.markers { plan.marks[token] = mark }
    }

    private func machine(_ key: String, _ constraint: Constraint) throws -> ConstraintMachine {
        let known = shelf.withLock { shelf in
            shelf.clock += 1
            shelf.machines[key]?.used = shelf.clock
            return (shelf.machines[key]?.machine, shelf.index)
        }
        if let machine = known.0 { return machine }
        let compiled = try CompiledConstraint(constraint, markers: text.markers)
        let index = known.1 ?? TokenMaskIndex(text.vocabulary)
        let machine = ConstraintMachine(compiled, index)
        shelf.withLock { shelf in
            shelf.index = shelf.index ?? index
            shelf.machines[key] = (machine, shelf.clock)
            if shelf.machines.count > Self.capacity,
                let oldest = shelf.machines.min(by: { $0.value.used < $1.value.used })?.key
            {
                shelf.machines[oldest] = nil
            }
        }
        return machine
    }
}
