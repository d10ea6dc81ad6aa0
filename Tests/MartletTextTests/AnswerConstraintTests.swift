import MartletText
import MartletWire
import Testing

/// Answers that are text of a form or calls, as the model chooses: what comes out is wholly the one or the other.
struct AnswerConstraintTests {
    private static let person: JSON = [
        "type": "object",
        "properties": ["name": ["type": "string"], "size": ["type": "integer"], "note": ["type": "string"]],
        "required": ["name", "size"], "additionalProperties": false,
    ]
    private static let place: JSON = [
        "type": "object", "properties": ["place": ["type": "string"]], "required": ["place"],
        "additionalProperties": false,
    ]
    private static let tools = [
        GenerationRequest.Tool(name: "get", parameters: place),
        GenerationRequest.Tool(name: "get_time", parameters: ["type": "object", "properties": [:]]),
    ]
    private static let special = 257

    private struct Machines {
        let text: ConstraintMachine
        let calls: ConstraintMachine
        var index: TokenMaskIndex { text.index }

        init(_ text: Constraint, _ format: ToolCallFormat, isMarked: Bool = false) throws {
            let index = TokenMaskIndex(ConstraintWalk.vocabulary())
            let markers = isMarked ? ["<tool_call>": special, "[TOOL_CALLS]": special] : [:]
            self.text = try ConstraintWalk.machine(text, index)
            calls = ConstraintMachine(
                try CompiledConstraint(.toolCalls(tools, format, isParallel: true), markers: markers), index)
        }

        func start() throws -> AnswerConstraint { AnswerConstraint(text: try text.start(), orCalls: try calls.start()) }

        func state(behind text: String) throws -> AnswerConstraint {
            var state = try start()
            for byte in text.utf8 { try state.advance(token: Int(byte)) }
            return state
        }
    }

    /// A random walk, closed as fast as can be after `limit` tokens; as calls go until it can be nothing else, where it
    /// is to call.
    private static func walk(_ machines: Machines, seed: UInt64, limit: Int, calling: Bool) throws -> (
        text: String, kind: AnswerConstraint.Kind?
    ) {
        var random = SplitMix(seed)
        var state = try machines.start()
        var calls = try machines.calls.start()
        var (text, words) = ([UInt8](), [UInt64]())
        var (count, closing) = (0, 0)
        while !state.hasEnded {
            if count == limit { closing = state.closingDistance + 1 }
            let begins = calling && state.kind == nil
            if begins {
                try calls.mask(into: &words)
            } else if count >= limit {
                closing -= 1
                guard closing >= 0 else { throw MartletError(.internal, "closing took too long") }
                try state.closingMask(into: &words)
            } else {
                try state.mask(into: &words)
            }
            let allowed = (0..<words.count * 64).filter { words[$0 >> 6] >> UInt64($0 & 63) & 1 == 1 }
            let token = try #require(allowed.randomElement(using: &random))
            try state.advance(token: token)
            if begins { try calls.advance(token: token) }
            text += token == special ? Array("<tool_call>".utf8) : machines.index.vocabulary.bytes[token] ?? []
            count += 1
        }
        return (String(decoding: text, as: UTF8.self), state.kind)
    }

    private static func expectCalls(_ text: String, _ format: ToolCallFormat) throws {
        var parser = ToolCallParser(format, names: Set(tools.map(\.name)))
        var (names, arguments) = ([String](), [Int: String]())
        for part in try parser.append(text) + parser.finish() {
            switch part {
            case .text(let said): Issue.record("'\(said)' is no part of a call in \(text)")
            case .call(_, let name): names.append(name)
            case .arguments(let index, let more): arguments[index, default: ""] += more
            }
        }
        #expect(!names.isEmpty && names.count == arguments.count, "\(text)")
        for (index, name) in names.enumerated() {
            let schema = try #require(tools.first { $0.name == name }?.parameters)
            #expect(try SchemaCheck(root: schema).holds(JSONParser.parse(arguments[index] ?? ""), schema), "\(text)")
        }
    }

    @Test(arguments: [ToolCallFormat.hermes, .mistral, .llama3])
    func whatComesIsWhollyTheOneOrTheOther(_ format: ToolCallFormat) throws {
        let forms: [(Constraint, JSON)] = [
            (.jsonSchema(Self.person), Self.person),
            (format.isBare ? .jsonObjectUnlikeCalls(Self.tools.map(\.name)) : .jsonObject, ["type": "object"]),
        ]
        for (form, schema) in forms {
            for isMarked in [false, true] where !isMarked || format == .hermes {
                let machines = try Machines(form, format, isMarked: isMarked)
                var kinds: Set<AnswerConstraint.Kind> = []
                for seed: UInt64 in 0..<60 {
                    let calling = seed % 2 == 0
                    let (text, kind) = try Self.walk(
                        machines, seed: seed, limit: seed % 4 == 3 ? 0 : 50, calling: calling)
                    #expect(kind == .calls || !calling, "\(text)")
                    switch kind {
                    case .calls: try Self.expectCalls(text, format)
                    case .text:
                        let value = try JSONParser.parse(text)
                        #expect(try SchemaCheck(root: schema).holds(value, schema), "\(text)")
                    case nil: Issue.record("\(text) fits both")
                    }
                    if let kind { kinds.insert(kind) }
                }
                #expect(kinds == [.text, .calls])
            }
        }
    }

    /// An object whose beginning is that of a call is one from where the other can no longer be meant.
    @Test func aBareCallAndAnObjectAreToldApart() throws {
        let machines = try Machines(.jsonSchema(Self.person), .llama3)
        let cases: [(String, AnswerConstraint.Kind?)] = [
            ("", nil), ("{\"name\": \"ge", nil), ("{\"name\": \"get\"", nil), ("{\"name\": \"get\", \"", nil),
            ("{\"name\": \"get\", \"p", .calls), ("{\"name\": \"get\", \"s", .text), ("{\"name\":\"", .text),
            ("{\"name\": \"gi", .text), ("{\"name\": \"get\", \"size\": 5}", .text),
        ]
        for (text, kind) in cases {
            #expect(try machines.state(behind: text).kind == kind, "\(text)")
        }
        #expect(throws: MartletError.self) { try machines.state(behind: "{\"s") }
        // An answer that is whole while a call would go on is none.
        let short: JSON = ["type": "object", "properties": ["name": ["enum": ["get"]]], "required": ["name"]]
        let whole = try Machines(.jsonSchema(short), .llama3).state(behind: "{\"name\": \"get\"}")
        #expect(whole.kind == .text && whole.mustEnd)
        // What fits both to its end is not told apart.
        let call: JSON = [
            "type": "object", "required": ["name", "parameters"], "additionalProperties": false,
            "properties": ["name": ["type": "string"], "parameters": Self.place],
        ]
        let text = "{\"name\": \"get\", \"parameters\": {\"place\": \"x\"}}"
        let both = try Machines(.jsonSchema(call), .llama3).state(behind: text)
        #expect(both.kind == nil && both.canEnd)
        // Marks tell them apart at once, also where a list begins as a mark does.
        let list = try Machines(.jsonSchema(["type": "array", "items": ["type": "boolean"]]), .mistral)
        #expect(try list.state(behind: "[").kind == nil)
        #expect(try list.state(behind: "[T").kind == .calls && list.state(behind: "[t").kind == .text)
    }

    @Test func anObjectIsAnyButOneThatBeginsAsACallDoes() throws {
        let machine = try ConstraintWalk.machine(
            .jsonObjectUnlikeCalls(["get", "get_time"]), TokenMaskIndex(ConstraintWalk.vocabulary(300)))
        for text in [
            "{}", " {\"a\": 1}", "{\"name\": \"Bob\", \"age\":5}", "{\"name\": \"ge\"}", "{\"name\": \"getter\"}",
            "{\"name\": 5}", "{\"name\": [\"get\"]}", "{\"name\": {\"name\": \"get\"}, \"name\": \"get\"}",
            "{\"names\": \"get\"}", "{\"a\": {\"name\": \"get\"}, \"b\": null, \"c\": []}", "{\"na\": true}",
        ] { #expect(try ConstraintWalk.accepts(machine, text), "\(text)") }
        for text in [
            "{\"name\": \"get\"}", "{\"name\":\"get_time\", \"a\": 1}", "{\"name\": \"\\u0067et\"}",
            "{\"\\u006eame\": \"get\"}", "[1]", "{\"a\" 1}",
        ] { #expect(try !ConstraintWalk.accepts(machine, text), "\(text)") }
    }
}
