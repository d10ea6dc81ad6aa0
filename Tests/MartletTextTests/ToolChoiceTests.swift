import Foundation
import MartletText
import MartletWire
import Testing

/// Answers in which the model may call a function or not: text is free up to a call, and the call is held to its schema.
struct ToolChoiceTests {
    private static let weather: JSON = [
        "type": "object", "properties": ["place": ["type": "string"], "days": ["type": "integer"]],
        "required": ["place", "days"], "additionalProperties": false,
    ]
    private static let tools = [
        GenerationRequest.Tool(name: "get_weather", parameters: weather),
        GenerationRequest.Tool(name: "get", parameters: ["type": "object", "properties": [:]]),
    ]
    private static let special = 257

    /// Bytes, an end, a special token and `pieces` behind them.
    private static func machine(
        _ format: ToolCallFormat, of tools: [GenerationRequest.Tool] = tools, pieces: [String] = [],
        markers: [String: Int] = [:]
    ) throws -> ConstraintMachine {
        let known = ConstraintWalk.vocabulary(1000)
        let vocabulary = TokenVocabulary(bytes: known.bytes + pieces.map { Array($0.utf8) }, endTokens: known.endTokens)
        let form = Constraint.textOrToolCalls(tools, format, isParallel: true)
        return ConstraintMachine(
            try CompiledConstraint(form, markers: markers), TokenMaskIndex(vocabulary))
    }

    private static func allows(_ state: ConstraintState, _ token: Int) throws -> Bool {
        var words: [UInt64] = []
        try state.mask(into: &words)
        return words[token >> 6] >> UInt64(token & 63) & 1 == 1
    }

    /// The state behind pieces that are all taken.
    private static func state(behind text: String, _ machine: ConstraintMachine) throws -> ConstraintState {
        var state = try machine.start()
        for byte in text.utf8 { try state.advance(token: Int(byte)) }
        return state
    }

    /// Whatever comes behind `text` makes it a text with calls that parse and fit their schemas.
    private static func expectCalls(behind text: String, _ format: ToolCallFormat, said: String) throws {
        let machine = try machine(format)
        let state = try state(behind: text, machine)
        #expect(!state.isFree && !state.canEnd, "\(text)")
        for seed: UInt64 in 0..<10 {
            let rest = try ConstraintWalk.walk(machine, from: state, seed: seed, limit: 60).text
            let answer = text + String(decoding: rest, as: UTF8.self)
            var parser = ToolCallParser(format, names: Set(tools.map(\.name)))
            let parts = try parser.append(answer) + parser.finish()
            var (told, arguments, names) = ("", [Int: String](), [String]())
            for part in parts {
                switch part {
                case .text(let text): told += text
                case .call(_, let name): names.append(name)
                case .arguments(let index, let text): arguments[index, default: ""] += text
                }
            }
            #expect(told == said, "\(answer)")
            #expect(!names.isEmpty && arguments.count == names.count, "\(answer)")
            for (index, name) in names.enumerated() {
                let schema = try #require(tools.first { $0.name == name }?.parameters)
                let value = try JSONParser.parse(arguments[index] ?? "")
                #expect(try SchemaCheck(root: schema).holds(value, schema), "\(answer)")
            }
        }
    }

    @Test(arguments: [
        ("", "<tool_call>"), ("I look. <tool_", "<tool_call>"), ("<", "<tool_call>\n{\"name\": \"get"),
        ("<tool_cal", "<tool_call>\n{"),
    ])
    func aMarkOfTextBeginsCalls(said: String, call: String) throws {
        try Self.expectCalls(behind: said + call, .hermes, said: said)
    }

    /// As of a foreign program's tools: nobody here can mend them.
    @Test(arguments: [
        #"{"type":"object","properties":{"a":{"type":"array","uniqueItems":true}}}"#,
        ##"{"type":"object","properties":{"a":{"$ref":"#/$defs/a"},"b":{"not":{}}},"$defs":{"a":{"type":"integer"}}}"##,
        #"{"type":"object","patternProperties":{"^x":{}}}"#,
        #"{"type":"object","properties":{"a":{"pattern":"(?=a)"}}}"#,
    ])
    func aToolThatCannotBeHeldToLeavesTheOthersHeld(odd: String) throws {
        let tools = [.init(name: "odd", parameters: try JSONParser.parse(odd))] + Self.tools
        for format in [ToolCallFormat.hermes, .llama3] {
            let machine = try Self.machine(format, of: tools)
            let begin = format.isBare ? "" : "<tool_call>\n"
            for tool in tools {
                let text = begin + "{\"name\": \"\(tool.name)\", \"\(format.argumentsKey)\": "
                let state = try Self.state(behind: text, machine)
                for seed: UInt64 in 0..<10 {
                    let rest = try ConstraintWalk.walk(machine, from: state, seed: seed, limit: 40).text
                    var parser = ToolCallParser(format, names: Set(tools.map(\.name)))
                    let parts = try parser.append(text + String(decoding: rest, as: UTF8.self)) + parser.finish()
                    var arguments = ""
                    for case .arguments(0, let more) in parts { arguments += more }
                    if tool.name == "odd" {
                        #expect(try JSONSerialization.jsonObject(with: Data(arguments.utf8)) is [String: Any])
                        continue
                    }
                    let value = try JSONParser.parse(arguments)
                    #expect(try SchemaCheck(root: tool.parameters).holds(value, tool.parameters), "\(arguments)")
                }
            }
        }
        #expect(throws: MartletError.self, "what must be called is held to, or refused") {
            try CompiledConstraint(.toolCalls(tools, .hermes, isParallel: true))
        }
    }

    @Test func aListBeginsBehindItsMark() throws {
        try Self.expectCalls(behind: "Yes [TOOL_[TOOL_CALLS]", .mistral, said: "Yes [TOOL_")
        try Self.expectCalls(behind: "[TOOL_CALLS] [{\"name\": \"get\"", .mistral, said: "")
    }

    @Test(arguments: [
        "{\"name\": \"get\"", "\n {\"name\":\"get_weather\"", "{\n  \"name\" : \"get\"",
        "{ \"type\" : \"function\", \"name\": \"get_weather\", \"parameters\": {",
    ])
    func theNameOfAToolBeginsABareCall(text: String) throws {
        try Self.expectCalls(behind: text, .llama3, said: "")
    }

    @Test(arguments: [
        "{\"parameters\": {", "\n{ \"parameters\" :\n{\"place\"", "{\"type\": \"function\", \"parameters\":{}",
        "{\"parameters\": {\"place\": \"x\", \"days\": 3}, \"na",
    ])
    func argumentsBeforeTheNameBeginABareCall(text: String) throws {
        try Self.expectCalls(behind: text, .llama3, said: "")
    }

    /// Arguments of one kind are followed once, whoever takes them; of very many kinds, only behind their name.
    @Test func argumentsOfManyToolsAreFollowedSideBySide() throws {
        func tools(_ count: Int, kinds: Int) -> [GenerationRequest.Tool] {
            (0..<count).map { number in
                var properties: JSONObject = [:]
                for index in 0..<16 { properties["p\(index)_\(number % kinds)"] = ["type": "integer"] }
                return .init(name: "t\(number)", parameters: ["type": "object", "properties": .object(properties)])
            }
        }
        for (count, kinds) in [(32, 32), (120, 5)] {
            let state = try Self.state(
                behind: "{\"parameters\": {\"p3_1\": 5}, \"name\": \"t1",
                Self.machine(.llama3, of: tools(count, kinds: kinds)))
            #expect(!state.isFree && !state.canEnd)
            #expect(try Self.allows(state, Int(UInt8(ascii: "\""))))
            #expect(try !Self.allows(state, Int(UInt8(ascii: "x"))))
        }
        let many = try Self.machine(.llama3, of: tools(33, kinds: 33))
        #expect(try Self.state(behind: "{\"parameters\": {", many).isFree)
        #expect(try !Self.state(behind: "{\"name\": \"t7\"", many).isFree)
    }

    @Test(arguments: [
        "{\"parameters\": ", "{\"parameters\": 5", "{\"parameters\": [{", "{\"parameter\": {", "{\"parameters\" {",
        "{\"name\": \"getter\"", "{\"name\": \"ge", "So: {\"name\": \"get\"", "{\"names\": \"get\"",
        "{\"type\": \"person\", \"name\": \"get\"", "[{\"name\": \"get\"", "{\"name\": [\"get\"",
    ])
    func otherObjectsAreFree(text: String) throws {
        let state = try Self.state(behind: text, Self.machine(.llama3))
        #expect(state.isFree && state.canEnd)
        for byte in 0...255 { #expect(try Self.allows(state, byte), "\(byte)") }
    }

    /// Texts made of parts of the mark: a call begins exactly where a plain search finds the mark.
    @Test(arguments: [ToolCallFormat.hermes, .mistral]) func callsBeginWhereASearchFindsTheMark(
        _ format: ToolCallFormat
    ) throws {
        let mark = format == .hermes ? "<tool_call>" : "[TOOL_CALLS]"
        let machine = try Self.machine(format)
        var random = SplitMix(5)
        for _ in 0..<200 {
            var text = ""
            while text.count < 40 { text += mark.prefix(.random(in: 0...mark.count, using: &random)) }
            var state = try machine.start()
            var written = ""
            while !written.contains(mark), written.count < text.count {
                #expect(state.isFree && state.canEnd)
                let next = text[text.index(text.startIndex, offsetBy: written.count)]
                written.append(next)
                try state.advance(token: Int(try #require(next.asciiValue)))
            }
            #expect(state.isFree == !written.contains(mark), "\(written)")
        }
    }

    /// Tokens that go past the mark: taken with all their bytes where a call goes on so, and masked where none does.
    @Test func tokensThatGoPastTheMark() throws {
        let pieces = [
            "call>\n{\"name\": \"get", "call>\n{\"name\": \"got", "call>{", "<tool_call>no", "<tool_call>\n", "calls>",
        ]
        let machine = try Self.machine(.hermes, pieces: pieces)
        let first = machine.index.vocabulary.count - pieces.count
        let state = try Self.state(behind: "Hm <tool_", machine)
        for (piece, isRight) in zip(pieces, [true, false, false, false, true, true]) {
            let token = try #require(pieces.firstIndex(of: piece)) + first
            var next = state
            #expect(try Self.allows(state, token) == isRight, "\(piece)")
            let isTaken = try next.take(token)
            #expect(isTaken == isRight, "\(piece)")
        }
        var call = state
        try call.advance(token: first)
        #expect(!call.isFree && !call.canEnd)
        #expect(try !Self.allows(call, ConstraintWalk.end) && !Self.allows(call, Int(UInt8(ascii: "x"))))
        #expect(try Self.allows(call, Int(UInt8(ascii: "\""))) && Self.allows(call, Int(UInt8(ascii: "_"))))
    }

    @Test func specialTokensInTextChangeNothingButTheMark() throws {
        var state = try Self.state(behind: "<tool_", Self.machine(.hermes))
        #expect(try Self.allows(state, Self.special))
        try state.advance(token: Self.special)
        #expect(try state.isFree && Self.allows(state, ConstraintWalk.end))
        for byte in "call>".utf8 { try state.advance(token: Int(byte)) }
        #expect(try !state.isFree && !Self.allows(state, Self.special))
        let marked = try Self.machine(.hermes, markers: ["<tool_call>": Self.special])
        var call = try Self.state(behind: "<tool_", marked)
        #expect(try Self.allows(call, Self.special))
        try call.advance(token: Self.special)
        #expect(!call.isFree)
        // The same words as plain text begin a call as well.
        #expect(try !Self.state(behind: "<tool_call>", marked).isFree)
    }
}
