import MartletText
import MartletWire
import Testing

struct ToolCallTests {
    private static let weather: JSON = [
        "type": "object", "properties": ["place": ["type": "string"], "days": ["type": "integer"]],
        "required": ["place", "days"], "additionalProperties": false,
    ]
    private static let tools = [
        GenerationRequest.Tool(name: "get_weather", parameters: weather),
        GenerationRequest.Tool(name: "get_time", parameters: ["type": "object", "properties": [:]]),
    ]

    /// All parts, with texts and arguments of one call joined.
    private static func joined(_ parts: [ToolCallParser.Part]) -> [ToolCallParser.Part] {
        var out: [ToolCallParser.Part] = []
        for part in parts {
            switch (out.last, part) {
            case (.text(let last)?, .text(let more)): out[out.count - 1] = .text(last + more)
            case (.arguments(let index, let last)?, .arguments(let next, let more)) where index == next:
                out[out.count - 1] = .arguments(index: index, last + more)
            default: out.append(part)
            }
        }
        return out
    }

    private static func parsed(
        _ text: String, _ format: ToolCallFormat, pieces: Int, names: Set<String> = [], isCut: Bool = false,
        isCall: Bool = false
    ) throws -> [ToolCallParser.Part] {
        var parser = ToolCallParser(format, names: names)
        var parts: [ToolCallParser.Part] = []
        let scalars = Array(text.unicodeScalars)
        for start in stride(from: 0, to: scalars.count, by: pieces) {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars[start..<min(scalars.count, start + pieces)])
            parts += try parser.append(String(view))
        }
        return joined(parts + (try parser.finish(isCut: isCut, isCall: isCall)))
    }

    @Test(arguments: [ToolCallFormat.hermes, .mistral, .llama3])
    func constrainedCallsParseAndValidate(format: ToolCallFormat) throws {
        let index = TokenMaskIndex(ConstraintWalk.vocabulary())
        let compiled = try CompiledConstraint(.toolCalls(Self.tools, format, isParallel: true))
        let machine = ConstraintMachine(compiled, index)
        for seed in 0..<40 {
            let text = String(
                decoding: try ConstraintWalk.walk(machine, seed: UInt64(seed), limit: 150).text, as: UTF8.self)
            let parts = try Self.parsed(text, format, pieces: 3)
            #expect(!parts.isEmpty, "\(text)")
            var name = ""
            for part in parts {
                switch part {
                case .text(let said): Issue.record("'\(said)' is no part of a call in \(text)")
                case .call(_, let called): name = called
                case .arguments(_, let arguments):
                    let value = try JSONParser.parse(arguments)
                    let schema = try #require(Self.tools.first { $0.name == name }?.parameters)
                    #expect(try SchemaCheck(root: schema).holds(value, schema), "\(arguments)")
                }
            }
        }
    }

    @Test func aMarkWithASpecialTokenIsThatToken() throws {
        let vocabulary = ConstraintWalk.vocabulary()
        let index = TokenMaskIndex(vocabulary)
        let compiled = try CompiledConstraint(
            .toolCalls(Self.tools, .mistral, isParallel: false), markers: ["[TOOL_CALLS]": 257])
        var state = try ConstraintMachine(compiled, index).start()
        var words: [UInt64] = []
        try state.mask(into: &words)
        #expect(words[257 >> 6] == 1 << UInt64(257 & 63) && words.reduce(0) { $0 + $1.nonzeroBitCount } == 1)
        try state.advance(token: 257)
        try state.mask(into: &words)
        #expect(words[0] >> 32 & 1 == 1)
        try state.closingMask(into: &words)
        #expect(words[0] >> 32 & 1 == 1)
    }

    @Test(arguments: [1, 2, 7, 1000])
    func hermesCallsAreReadWhereverTheyAreCut(pieces: Int) throws {
        let text =
            "Let me see…\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}{\\\"é\", \"b\": [1, {\"c\": 2}]}}\n</tool_call>\n<tool_call>\n{\"arguments\": {\"x\": 1}, \"name\": \"g\"}\n</tool_call>"
        #expect(
            try Self.parsed(text, .hermes, pieces: pieces) == [
                .text("Let me see…\n"), .call(index: 0, name: "f"),
                .arguments(index: 0, "{\"a\": \"}{\\\"é\", \"b\": [1, {\"c\": 2}]}"), .call(index: 1, name: "g"),
                .arguments(index: 1, "{\"x\": 1}"),
            ])
    }

    @Test(arguments: [1, 3, 1000])
    func theOtherFormatsAreReadToo(pieces: Int) throws {
        #expect(
            try Self.parsed(
                "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"a\": 1}}]",
                .mistral, pieces: pieces)
                == [
                    .call(index: 0, name: "f"), .arguments(index: 0, "{}"), .call(index: 1, name: "g"),
                    .arguments(index: 1, "{\"a\": 1}"),
                ])
        #expect(
            try Self.parsed(
                "\n{\"name\": \"f\", \"parameters\": {\"a\": \"b\"}}", .llama3, pieces: pieces, names: ["f"])
                == [.call(index: 0, name: "f"), .arguments(index: 0, "{\"a\": \"b\"}")])
        #expect(
            try Self.parsed("{\"name\": \"Bob\", \"parameters\": 5} is JSON", .llama3, pieces: pieces, names: ["f"])
                == [.text("{\"name\": \"Bob\", \"parameters\": 5} is JSON")])
        #expect(try Self.parsed("a < b <tool", .hermes, pieces: pieces) == [.text("a < b <tool")])
        #expect(try Self.parsed("plain {\"name\": 1}", .llama3, pieces: pieces) == [.text("plain {\"name\": 1}")])
    }

    /// Half a call is nothing that was said; with its name it is a call.
    @Test(arguments: [1, 4, 1000]) func whatIsCutOffInACallIsNoText(pieces: Int) throws {
        let call = ToolCallParser.Part.call(index: 0, name: "f")
        let cases: [(ToolCallFormat, String, [ToolCallParser.Part], endsInCall: Bool)] = [
            (.hermes, "Hm.\n<tool_call>\n{\"name\": \"f", [.text("Hm.\n")], false),
            (.hermes, "<tool_call>\n{\"arguments\": {\"a\": 1}, \"na", [], false),
            (.hermes, "<tool_call>\n{\"name\": \"f\"", [call], true),
            (.hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": ", [call], true),
            (
                .hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1",
                [call, .arguments(index: 0, "{\"a\": 1")], true
            ),
            (
                .hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_ca",
                [call, .arguments(index: 0, "{}")], false
            ),
            (
                .hermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_ca",
                [call, .arguments(index: 0, "{}")], false
            ),
            (
                .mistral, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"na",
                [call, .arguments(index: 0, "{}")], false
            ),
            (.llama3, "{\"type\": \"function\", \"name\": \"", [], false),
            (.llama3, "{\"parameters\": {\"a\": 1", [], false), (.llama3, "{\"name\": \"f\"", [call], true),
            (.llama3, "{\"na", [.text("{\"na")], false),
            (.llama3, "{\"name\": \"Bo", [.text("{\"name\": \"Bo")], false),
            (.llama3, "{\"name\": \"Bob\"", [.text("{\"name\": \"Bob\"")], false),
            (.llama3, "{\"parameters\": 5", [.text("{\"parameters\": 5")], false),
        ]
        for (format, text, parts, endsInCall) in cases {
            #expect(
                try Self.parsed(text, format, pieces: pieces, names: ["f", "find"], isCut: true) == parts, "\(text)")
            var parser = ToolCallParser(format, names: ["f", "find"])
            _ = try parser.append(text) + parser.finish(isCut: true)
            #expect(parser.endsInCall == endsInCall, "\(text)")
        }
        // An answer that ended so of itself is told as it is.
        #expect(
            try Self.parsed("<tool_call>\n{\"name\": \"f", .hermes, pieces: pieces) == [.text("{\"name\": \"f")])
    }

    /// A mark may be plain text: more than half of one at the end of what was cut off is no text, and none of it is
    /// where nothing but a call could come.
    @Test(arguments: [1, 3, 1000]) func halfAMarkAtTheCutIsNoText(pieces: Int) throws {
        let cases: [(ToolCallFormat, String, cut: String, call: String)] = [
            (.hermes, "Hm.\n<tool_ca", "Hm.\n", "Hm.\n"), (.hermes, "<tool_call", "", ""),
            (.hermes, "a <tool", "a <tool", "a "), (.hermes, "a <b", "a <b", "a <b"), (.hermes, "a <", "a <", "a "),
            (.hermes, "<tool_cat", "<tool_cat", "<tool_cat"), (.mistral, "Yes [TOOL_C", "Yes ", "Yes "),
            (.mistral, "[TO", "[TO", ""), (.llama3, "{\"na", "{\"na", ""),
            (.llama3, "a <tool_ca", "a <tool_ca", "a <tool_ca"),
        ]
        for (format, text, cut, call) in cases {
            func told(_ text: String) -> [ToolCallParser.Part] { text.isEmpty ? [] : [.text(text)] }
            let names: Set = ["f"]
            #expect(try Self.parsed(text, format, pieces: pieces, names: names) == told(text), "\(text)")
            #expect(try Self.parsed(text, format, pieces: pieces, names: names, isCut: true) == told(cut), "\(text)")
            #expect(
                try Self.parsed(text, format, pieces: pieces, names: names, isCut: true, isCall: true) == told(call),
                "\(text)")
        }
    }

    @Test("I15: a call that never closes is bounded") func aCallThatNeverClosesIsBounded() throws {
        var parser = ToolCallParser(.hermes, limit: 1000)
        #expect(throws: MartletError.self) {
            _ = try parser.append("<tool_call>{\"name\": \"")
            for _ in 0..<2000 { _ = try parser.append("x") }
        }
        var streaming = ToolCallParser(.hermes, limit: 1000)
        var count = 0
        for part in try streaming.append("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"") {
            if case .arguments(_, let text) = part { count += text.utf8.count }
        }
        for _ in 0..<5000 {
            for part in try streaming.append("x") {
                if case .arguments(_, let text) = part { count += text.utf8.count }
            }
        }
        #expect(count == 5000 + 7)
        #expect(try streaming.finish().isEmpty)
    }

    @Test func badToolsAreNamed() throws {
        let bad = [
            GenerationRequest.Tool(name: "f", parameters: ["type": "object", "properties": ["a": ["pattern": "("]]])
        ]
        let error = #expect(throws: MartletError.self) {
            try CompiledConstraint(.toolCalls(bad, .hermes, isParallel: false))
        }
        #expect(error?.message.contains("'f'") == true && error?.code == .invalidRequest)
        #expect(throws: MartletError.self) { try CompiledConstraint(.toolCalls([], .hermes, isParallel: false)) }
    }
}
