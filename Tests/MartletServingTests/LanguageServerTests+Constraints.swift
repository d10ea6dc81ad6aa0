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
