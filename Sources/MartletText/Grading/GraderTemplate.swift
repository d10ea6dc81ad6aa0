import MartletWire

/// What a grader's templates can name: `item`, one row of the data, and `sample`, the answer that is judged.
public struct GraderContext: Sendable, Equatable {
    public var item: JSON
    /// `output_text`, `output_json` and whatever else the answer has; nil where nothing was sampled.
    public var sample: JSON?

    public init(item: JSON, sample: JSON? = nil) {
        self.item = item
        self.sample = sample
    }

    /// An answer's text as `sample`: `output_text`, and `output_json` where the text is JSON.
    ///
    /// `toolCalls` are chat's own objects, under `output_tools`.
    public init(item: JSON, outputText: String, toolCalls: [JSON] = []) {
        var sample: JSONObject = ["output_text": .string(outputText), "output_tools": .array(toolCalls)]
        if let parsed = try? JSONParser.parse(outputText) { sample["output_json"] = parsed }
        self.init(item: item, sample: .object(sample))
    }
}

/// A text with `{{ item.field }}` and `{{ sample.output_text }}` in it, parsed once.
///
/// A place is `item` or `sample` and then fields and positions: `item.turns[0].text`, `sample.output_json.city`. There
/// are no conditions, loops or filters in it.
public struct GraderTemplate: Sendable, Equatable {
    private enum Part: Sendable, Equatable {
        case text(String)
        case place(String, [Step])
    }
    private enum Step: Sendable, Equatable {
        case field(String)
        case position(Int)
    }
    private let parts: [Part]
    /// As it was written.
    public let source: String

    private static let byteLimit = 1 << 20

    /// Throws `invalidRequest` with `param` for braces that do not close and for places that cannot be there.
    public init(_ source: String, param: String) throws {
        guard source.utf8.count <= Self.byteLimit else {
            throw MartletError(
                .invalidRequest, "'\(param)' has \(source.utf8.count) bytes; use at most \(Self.byteLimit)",
                param: param)
        }
        self.source = source
        var parts: [Part] = []
        var rest = Substring(source)
        while let open = rest.firstRange(of: "{{") {
            if open.lowerBound > rest.startIndex { parts.append(.text(String(rest[..<open.lowerBound]))) }
            let inner = rest[open.upperBound...]
            guard let close = inner.firstRange(of: "}}") else {
                throw MartletError(
                    .invalidRequest, "'\(param)' has '{{' without '}}'; close it", param: param)
            }
            let place = inner[..<close.lowerBound]
            parts.append(.place(String(place).trimmed, try Self.steps(place, param: param)))
            rest = inner[close.upperBound...]
        }
        if !rest.isEmpty { parts.append(.text(String(rest))) }
        self.parts = parts
    }

    /// Whether it names the answer.
    public var usesSample: Bool {
        parts.contains { part in
            if case .place(_, let steps) = part { steps.first == .field("sample") } else { false }
        }
    }

    /// The text with its places filled in: strings as they are, everything else as JSON.
    ///
    /// Throws `invalidData` that names the place which the data does not have.
    public func render(_ context: GraderContext) throws -> String {
        var text = ""
        for part in parts {
            switch part {
            case .text(let more): text += more
            case .place(let name, let steps):
                let value = try Self.find(steps, name: name, in: context)
                text += value.string ?? value.serialized()
            }
        }
        return text
    }

    /// The value behind a template that is one place and nothing else; nil for every other template.
    public func value(_ context: GraderContext) throws -> JSON? {
        guard parts.count == 1, case .place(let name, let steps)? = parts.first else { return nil }
        return try Self.find(steps, name: name, in: context)
    }

    private static func find(_ steps: [Step], name: String, in context: GraderContext) throws -> JSON {
        guard steps.first != .field("sample") || context.sample != nil else {
            throw MartletError(
                .invalidData, "'{{ \(name) }}' has no value: nothing was sampled; give the run input_messages")
        }
        var value: JSON = ["item": context.item, "sample": context.sample ?? .null]
        for step in steps {
            let next: JSON? =
                switch step {
                case .field(let name): value[name]
                case .position(let index):
                    value.array.flatMap { $0.indices.contains(index) ? $0[index] : nil }
                }
            guard let next else {
                throw MartletError(
                    .invalidData, "'{{ \(name.prefix(100)) }}' has no value in this item; mend the data or the template"
                )
            }
            value = next
        }
        return value
    }

    /// `item.a[0].b` as steps.
    private static func steps(_ text: Substring, param: String) throws -> [Step] {
        let plain = String(text).trimmed
        func refused() -> MartletError {
            MartletError(
                .invalidRequest,
                "'\(param)' has '{{ \(plain.prefix(100)) }}'; write a place such as item.name or sample.output_text",
                param: param)
        }
        var steps: [Step] = []
        for segment in plain.split(separator: ".", omittingEmptySubsequences: false) {
            let pieces = segment.split(separator: "[", omittingEmptySubsequences: false)
            guard let name = pieces.first, !name.isEmpty, name.allSatisfy(Self.isName) else { throw refused() }
            steps.append(Int(name).map { .position($0) } ?? .field(String(name)))
            for piece in pieces.dropFirst() {
                guard piece.hasSuffix("]"), let index = Int(piece.dropLast()), index >= 0 else { throw refused() }
                steps.append(.position(index))
            }
        }
        guard steps.first == .field("item") || steps.first == .field("sample"), steps.count <= 32 else {
            throw refused()
        }
        return steps
    }

    private static func isName(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_" || character == "-"
    }
}

extension String {
    /// Without the white space around it.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.first?.isWhitespace ?? false { text.removeFirst() }
        while text.last?.isWhitespace ?? false { text.removeLast() }
        return String(text)
    }
}
