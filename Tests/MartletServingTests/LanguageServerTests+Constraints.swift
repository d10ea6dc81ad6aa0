import MartletServing
import MartletText
import MartletWire
import Testing

/// Answers in a form that is asked for: schemas, and calls of tools.
extension LanguageServerTests {
    @Test func constrainedAnswersParseWhateverTheLimit() async throws {
        let served = try ServedModel(options: Self.exact())
        let schema: JSON = [
            "type": "object",
            "properties": ["n": ["type": "integer"], "s": ["type": "string"], "l": ["type": "array"]],
            "required": ["n", "s"], "additionalProperties": false,
        ]
        for (index, max) in [24, 30, 60, 200].enumerated() {
            for form in [GenerationRequest.Form.jsonSchema(schema), .jsonObject] {
                var request = GenerationRequest.tokens(prompt(20, seed: index), max: max)
                request.form = form
                request.sampling = Sampling(temperature: 3, seed: UInt64(max))
                let events = try await served.events(request)
                let json = try JSONParser.parse(events.text())
                if case .jsonSchema = form {
                    #expect(json["n"]?.int != nil || json["n"]?.double != nil)
                    #expect(json["s"]?.string != nil)
                }
                #expect((events.usage?.completionTokens ?? 0) <= max)
            }
        }
    }

    @Test func aRequiredToolIsCalled() async throws {
        let served = try ServedModel(options: Self.exact())
        var request = GenerationRequest.tokens(prompt(20), max: 120)
        request.form = .requiredTools([Self.weather])
        request.parallelToolCalls = false
        let events = try await served.events(request)
        try Self.expectOneCallOfWeather(events)
        #expect(events.finish() == .toolCalls)
        #expect(events.text() == "")
    }

    private static let weather = GenerationRequest.Tool(
        name: "weather",
        parameters: [
            "type": "object", "properties": ["days": ["type": "integer", "minimum": 1, "maximum": 9]],
            "required": ["days"], "additionalProperties": false,
        ])

    private static func expectOneCallOfWeather(_ events: [GenerationEvent]) throws {
        var (names, arguments) = ([String](), "")
        for event in events {
            if case .toolCall(_, _, let id, let name) = event {
                names.append(name)
                #expect(id.hasPrefix("call_"))
            }
            if case .toolArguments(_, _, let part) = event { arguments += part }
        }
        #expect(names == ["weather"])
        #expect(try (1...9).contains(JSONParser.parse(arguments)["days"]?.int ?? 0), "\(arguments)")
    }

    private static let cry = "<tool_call>{\"name\": \"weather\""
    private static let bird: JSON = [
        "type": "object", "properties": ["said": ["const": .string(cry)], "days": ["type": "integer"]],
        "required": ["said", "days"], "additionalProperties": false,
    ]

    /// The names and the arguments of the calls of an answer.
    private static func calls(_ events: [GenerationEvent]) -> [(name: String, arguments: String)] {
        var calls: [(name: String, arguments: String)] = []
        for event in events {
            if case .toolCall(_, _, _, let name) = event { calls.append((name, "")) }
            if case .toolArguments(_, let index, let part) = event { calls[index].arguments += part }
        }
        return calls
    }

    /// Tools and a schema together: the answer is wholly the one or the other, as the model begins. What looks like a
    /// call within the JSON is text.
    @Test(arguments: [true, false]) func withToolsAndASchemaTheAnswerIsTheOneOrTheOther(isMarked: Bool) async throws {
        // Tokens of '<' and '{', and of the mark where it has one of its own.
        let (mark, less, brace) = (7, 28, 91)
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .hermes
        if isMarked {
            text.markers["<tool_call>"] = mark
            var bytes = text.vocabulary.bytes
            bytes[mark] = nil
            text.vocabulary = TokenVocabulary(bytes: bytes, endTokens: text.vocabulary.endTokens)
        }
        let served = try ServedModel(options: Self.exact(), text: text)
        for seed: UInt64 in 1...4 {
            var request = GenerationRequest.tokens(prompt(20), max: 150, topLogprobs: 1)
            request.form = .jsonOrTools([Self.weather], schema: Self.bird)
            request.minTokens = 140
            request.parallelToolCalls = false
            request.sampling = Sampling(temperature: 2, seed: seed)
            request.sampling.logitBias = [isMarked ? mark : less: 100]
            let called = try await served.events(request)
            try Self.expectOneCallOfWeather(called)
            #expect(called.finish() == .toolCalls && called.text() == "")
            request.sampling.logitBias = [brace: 100]
            let said = try await served.events(request)
            let json = try JSONParser.parse(said.text())
            #expect(json["said"] == .string(Self.cry) && json["days"]?.int != nil)
            #expect(said.finish() == .stop && Self.calls(said).isEmpty)
            // Each token is told with the text that it gave.
            #expect(String(decoding: said.chances().flatMap(\.bytes), as: UTF8.self) == said.text())
            let parts = said.filter { if case .text = $0 { true } else { false } }
            #expect(parts.count > 5, "it is not held back")
        }
    }

    /// Where a call is a bare object too, the answer is told as soon as it can be only one of them.
    @Test func aBareCallAndTextOfASchemaAreToldApart() async throws {
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .llama3
        let served = try ServedModel(options: Self.exact(), text: text)
        let person: JSON = [
            "type": "object", "properties": ["name": ["const": "weather"], "size": ["type": "boolean"]],
            "required": ["name", "size"], "additionalProperties": false,
        ]
        // The brace that both begin with, the space that a call is written with; 'p' of its parameters, 's' of the
        // person's size.
        let (common, p, s) = ([91: 90.0, 0: 60.0, 95: 60.0], 80, 83)
        for seed: UInt64 in 1...3 {
            var request = GenerationRequest.tokens(prompt(20), max: 150)
            request.form = .jsonOrTools([Self.weather], schema: person)
            request.sampling = Sampling(temperature: 2, seed: seed)
            request.sampling.logitBias = common.merging([p: 100]) { $1 }
            let called = try await served.events(request)
            try Self.expectOneCallOfWeather(called)
            #expect(called.finish() == .toolCalls && called.text() == "")
            request.sampling.logitBias = common.merging([s: 100]) { $1 }
            let said = try await served.events(request)
            let json = try JSONParser.parse(said.text())
            #expect(json["name"] == "weather" && json["size"]?.bool != nil && Self.calls(said).isEmpty)
            #expect(said.finish() == .stop)
        }
    }

    @Test(arguments: [ToolCallFormat.hermes, .llama3])
    func answersOfEitherKindAreWholeWhateverTheLimit(_ format: ToolCallFormat) async throws {
        var text = ByteTokens.text(count: 131)
        text.toolFormat = format
        let served = try ServedModel(options: Self.exact(), text: text)
        for max in Array(4..<12) + Array(stride(from: 45, to: 90, by: 9)) {
            for schema in [nil, ["type": "object", "properties": ["n": ["type": "integer"]]]] as [JSON?] {
                var request = GenerationRequest.tokens(prompt(20, seed: max), max: max)
                request.form = .jsonOrTools([Self.weather], schema: schema)
                request.sampling = Sampling(temperature: 3, seed: UInt64(max))
                let events = try await served.events(request)
                let calls = Self.calls(events)
                #expect(calls.isEmpty != events.text().isEmpty, "\(max)")
                for call in calls { #expect(try JSONParser.parse(call.arguments)["days"]?.int != nil, "\(max)") }
                if calls.isEmpty { #expect(try JSONParser.parse(events.text()).object != nil, "\(max)") }
                #expect((events.usage?.completionTokens ?? 0) <= max)
            }
        }
    }

    /// A function's schema that cannot be held to is left to the model, as it is without a form; the form is held to.
    @Test func aFormIsHeldToBesideToolsThatCannotBe() async throws {
        let served = try ServedModel(options: Self.exact())
        let bad: JSON = ["type": "object", "properties": ["a": ["type": "string", "pattern": "(a+)+\\1"]]]
        var request = GenerationRequest.tokens(prompt(20), max: 150)
        request.form = .jsonOrTools([.init(name: "odd", parameters: bad)], schema: Self.bird)
        request.sampling.logitBias = [91: 100]
        let json = try JSONParser.parse(try await served.events(request).text())
        #expect(json["days"]?.int != nil)
        request.form = .jsonOrTools([Self.weather], schema: bad)
        await #expect(throws: MartletError.self) { try await served.events(request) }
    }

    /// A call that is asked for and cut off within a mark of plain text has said nothing.
    @Test func noPartOfARequiredCallsMarkIsText() async throws {
        let served = try ServedModel(options: Self.exact())
        for max in [1, 3, 10, 14] {
            var request = GenerationRequest.tokens(prompt(20), max: max)
            request.form = .requiredTools([Self.weather])
            let events = try await served.events(request)
            #expect(events.text() == "" && events.finish() == .length, "\(max)")
        }
    }

    /// Left to choose, the model begins a call with its special token; what follows is a call that parses.
    @Test func aCallThatTheModelBeginsIsWhole() async throws {
        let mark = 7
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .hermes
        text.markers["<tool_call>"] = mark
        var bytes = text.vocabulary.bytes
        bytes[mark] = nil
        text.vocabulary = TokenVocabulary(bytes: bytes, endTokens: text.vocabulary.endTokens)
        let served = try ServedModel(options: Self.exact(), text: text)
        for seed: UInt64 in 1...3 {
            var request = GenerationRequest.tokens(prompt(20), max: 150)
            request.form = .tools([Self.weather])
            request.sampling = Sampling(temperature: 2, seed: seed)
            request.sampling.logitBias = [mark: 100]
            request.parallelToolCalls = false
            let events = try await served.events(request)
            try Self.expectOneCallOfWeather(events)
            #expect(events.finish() == .toolCalls && events.text() == "")
        }
    }

    /// The mark is text here: the token that goes past it with no call is not chosen, the one that begins a call is
    /// taken with all its bytes.
    @Test func aCallBehindAMarkOfPlainTextIsWhole() async throws {
        let (wrong, right) = (7, 8)
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .hermes
        var bytes = text.vocabulary.bytes
        bytes[wrong] = Array("<tool_call>no".utf8)
        bytes[right] = Array("Well. <tool_call>\n{\"na".utf8)
        text.vocabulary = TokenVocabulary(bytes: bytes, endTokens: text.vocabulary.endTokens)
        let served = try ServedModel(options: Self.exact(), text: text)
        for seed: UInt64 in 1...3 {
            var request = GenerationRequest.tokens(prompt(20), max: 150)
            request.form = .tools([Self.weather])
            // An end may come as soon as the call is whole, whatever the least number of tokens.
            request.minTokens = 140
            request.sampling = Sampling(temperature: 2, seed: seed)
            request.sampling.logitBias = [wrong: 100, right: 60]
            request.parallelToolCalls = false
            let events = try await served.events(request)
            try Self.expectOneCallOfWeather(events)
            #expect(events.finish() == .toolCalls && events.text() == "Well. ")
        }
    }

    @Test("I08: a schema that is not supported hurts its own request alone")
    func aSchemaThatIsNotSupportedHurtsItsOwnRequestAlone() async throws {
        let served = try ServedModel(options: Self.exact())
        var request = GenerationRequest.tokens(prompt(20), max: 20)
        request.form = .jsonSchema(["type": "string", "pattern": "(a+)+\\1"])
        let other = served.started(.tokens(prompt(9), max: 5))
        await #expect(throws: MartletError.self) { try await served.events(request) }
        #expect(try await other.events().usage?.completionTokens == 5)
    }
}
