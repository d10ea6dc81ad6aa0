import MartletWire
import Synchronization

/// Constraints by what they say, so that requests with the same schema share one machine and its masks.
///
/// The least recently used is forgotten first; sequences that run on it keep it. Compiling happens outside the lock, on the
/// caller's thread: call it off the threads that serve.
public final class ConstraintCache: Sendable {
    private struct Entry {
        var machine: ConstraintMachine
        var lastUse: Int
    }

    private struct Content {
        /// By bytes: strings are equal where their characters are, however these are composed.
        var entries: [[UInt8]: Entry] = [:]
        var clock = 0
    }

    private let index: TokenMaskIndex
    private let markers: [String: Int]
    private let limits: ConstraintLimits
    private let capacity: Int
    private let content = Mutex(Content())

    /// `markers` are the vocabulary's special tokens by their text, `capacity` the most machines that are kept.
    public init(
        _ index: TokenMaskIndex, markers: [String: Int] = [:], limits: ConstraintLimits = .default, capacity: Int = 64
    ) {
        self.index = index
        self.markers = markers
        self.limits = limits
        self.capacity = max(1, capacity)
    }

    public var count: Int { content.withLock { $0.entries.count } }

    /// The machine of a constraint. Throws `invalidRequest` as `CompiledConstraint` does.
    public func machine(for constraint: Constraint) throws -> ConstraintMachine {
        let key = Array(try constraint.key(limits).utf8)
        if let found = content.withLock({ Self.use(key, in: &$0) }) { return found }
        let compiled = try CompiledConstraint(constraint, markers: markers, limits: limits)
        let machine = ConstraintMachine(compiled, index)
        return content.withLock { content in
            if let found = Self.use(key, in: &content) { return found }
            if content.entries.count >= capacity,
                let oldest = content.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
            {
                content.entries[oldest.key] = nil
            }
            content.clock += 1
            content.entries[key] = Entry(machine: machine, lastUse: content.clock)
            return machine
        }
    }

    private static func use(_ key: [UInt8], in content: inout Content) -> ConstraintMachine? {
        content.clock += 1
        content.entries[key]?.lastUse = content.clock
        return content.entries[key]?.machine
    }
}

extension Constraint {
    /// A text that tells constraints apart; a schema that is too large is refused before it is written out.
    fileprivate func key(_ limits: ConstraintLimits) throws -> String {
        switch self {
        case .jsonObject: return "object"
        case .jsonObjectUnlikeCalls(let names): return "object " + JSON.array(names.map { .string($0) }).serialized()
        case .jsonSchema(let schema):
            try SchemaSize.check(schema, limits: limits)
            return "schema " + schema.serialized()
        case .regex(let pattern): return "regex " + pattern
        case .toolCalls(let tools, let format, let isParallel):
            return try "tools " + Self.key(tools, format, isParallel, limits)
        case .offeredCalls(let tools, let format, let isParallel):
            return try "offered tools " + Self.key(tools, format, isParallel, limits)
        case .textOrToolCalls(let tools, let format, let isParallel):
            return try "text or tools " + Self.key(tools, format, isParallel, limits)
        }
    }

    private static func key(
        _ tools: [GenerationRequest.Tool], _ format: ToolCallFormat, _ isParallel: Bool, _ limits: ConstraintLimits
    ) throws -> String {
        let texts = try tools.map { tool -> JSON in
            try SchemaSize.check(tool.parameters, limits: limits)
            return [.string(tool.name), tool.parameters]
        }
        let marks = [format.begin, format.open, format.separator, format.close, format.end, format.argumentsKey]
        let parts: JSON = [
            .bool(isParallel && format.allowsSeveral), .array(marks.map { .string($0) }), .array(texts),
        ]
        return parts.serialized()
    }
}
