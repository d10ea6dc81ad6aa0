import MartletWire

/// What an answer must be.
public enum Constraint: Sendable {
    case jsonObject
    /// Any object but one that begins as a bare call of one of these functions does: with the name.
    case jsonObjectUnlikeCalls([String])
    /// A JSON schema; see `SchemaCompiler` for what is kept and what is refused.
    case jsonSchema(JSON)
    /// A text that the pattern matches from end to end.
    case regex(String)
    /// One call, or several where `isParallel`, of these functions in a model's own format.
    case toolCalls([GenerationRequest.Tool], ToolCallFormat, isParallel: Bool)
    /// The same of functions that the model may call or not: one whose schema cannot be held to takes any object.
    case offeredCalls([GenerationRequest.Tool], ToolCallFormat, isParallel: Bool)
    /// Free text, or offered calls from where the text has come to what a call begins with.
    case textOrToolCalls([GenerationRequest.Tool], ToolCallFormat, isParallel: Bool)
}

/// A constraint ready to be followed: immutable, shared by the sequences that have it.
///
/// Compiling takes at most `limits.time`; do it off the threads that serve.
public struct CompiledConstraint: Sendable {
    let grammar: ConstraintGrammar
    let classes: ByteClasses
    let limits: ConstraintLimits

    /// Throws `invalidRequest` for what is not supported, too large or can never end. `markers` are the special tokens
    /// that a tool format's marks stand for, by their text.
    public init(
        _ constraint: Constraint, markers: [String: Int] = [:], limits: ConstraintLimits = .default
    ) throws {
        var builder = ConstraintBuilder(limits: limits)
        let start = try builder.state()
        let end: Int
        switch constraint {
        case .jsonObject: end = try builder.jsonObject(from: try builder.optional(" ", from: start))
        case .jsonObjectUnlikeCalls(let names):
            end = try builder.jsonObject(unlikeCallsOf: names, from: try builder.optional(" ", from: start))
        case .jsonSchema(let schema):
            end = try SchemaCompiler.add(schema, to: &builder, from: try builder.optional(" ", from: start))
        case .regex(let pattern): end = try builder.pattern(pattern, .plain, from: start)
        case .toolCalls(let tools, let format, let isParallel):
            end = try builder.toolCalls(tools, format, isParallel: isParallel, markers: markers, from: start)
        case .offeredCalls(let tools, let format, let isParallel):
            builder.loosensTools = true
            end = try builder.toolCalls(tools, format, isParallel: isParallel, markers: markers, from: start)
        case .textOrToolCalls(let tools, let format, let isParallel):
            builder.loosensTools = true
            end = try builder.textOrToolCalls(tools, format, isParallel: isParallel, markers: markers, from: start)
        }
        grammar = try builder.finished(start: start, end: end)
        classes = ByteClasses(grammar)
        self.limits = limits
        try probe()
    }

    /// Walks the first few hundred sets, so that what is too ambiguous is refused before it runs.
    private func probe() throws {
        var automaton = ConstraintAutomaton(grammar, classes: classes, limits: limits)
        let deadline = ContinuousClock.now + .milliseconds(100)
        var next = Int(try automaton.start())
        while next < automaton.sets.count, next < 300, automaton.work < 200_000, ContinuousClock.now < deadline {
            for byteClass in 0..<classes.count { _ = try automaton.step(Int32(next), byteClass) }
            next += 1
        }
    }
}
