import MartletWire

/// What a schema or pattern may be at most.
public struct ConstraintLimits: Sendable {
    /// Values in the schema.
    public var nodes: Int
    /// Bytes of its strings.
    public var bytes: Int
    public var states: Int
    /// Ways that an answer can be read at once.
    public var ways: Int
    /// Calls of recursive parts inside each other.
    public var depth: Int
    public var time: Duration

    public init(
        nodes: Int = 50_000, bytes: Int = 1 << 20, states: Int = 200_000, ways: Int = 1024, depth: Int = 32,
        time: Duration = .milliseconds(800)
    ) {
        self.nodes = nodes
        self.bytes = bytes
        self.states = states
        self.ways = ways
        self.depth = depth
        self.time = time
    }

    public static let `default` = ConstraintLimits()
}

/// Counts a schema before anything is built from it.
enum SchemaSize {
    static func check(_ schema: JSON, limits: ConstraintLimits) throws {
        var nodes = 0
        var bytes = 0
        var work = [(schema, 0)]
        while let (value, depth) = work.popLast() {
            nodes += 1
            guard depth <= 256 else {
                throw MartletError(.invalidRequest, "the schema is nested deeper than 256 levels", param: "schema")
            }
            switch value {
            case .string(let text): bytes += text.utf8.count
            case .array(let items):
                nodes += items.count
                guard nodes <= limits.nodes else { break }
                work += items.map { ($0, depth + 1) }
            case .object(let object):
                nodes += object.count
                guard nodes <= limits.nodes else { break }
                for (key, value) in object {
                    bytes += key.utf8.count
                    work.append((value, depth + 1))
                }
            default: break
            }
            guard nodes <= limits.nodes, bytes <= limits.bytes else {
                throw MartletError(
                    .invalidRequest,
                    "the schema is too large: at most \(limits.nodes) values and \(limits.bytes) bytes are allowed",
                    param: "schema")
            }
        }
    }
}
