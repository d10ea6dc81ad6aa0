import MartletServing
import MartletText
import MartletWire
import Testing

/// Calls that an answer's limit or a stop text cuts off.
@Suite struct CutCallTests {
    private static let weather = GenerationRequest.Tool(
        name: "weather",
        parameters: [
            "type": "object", "properties": ["days": ["type": "integer", "minimum": 1, "maximum": 9]],
            "required": ["days"], "additionalProperties": false,
        ])
    private static let mark = 7
    /// Tokens up to the end of the call's name, and of the shortest call: its mark, and one for each byte behind it.
    private static let named = 1 + "\n{\"name\": \"weather\"".utf8.count
    private static let whole = 1 + "\n{\"name\": \"weather\", \"arguments\": {\"days\":5}}\n</tool_call>".utf8.count

    /// A model that can do nothing but begin a call with its mark, which is a special token.
    private static func served() throws -> ServedModel {
        var text = ByteTokens.text(count: 131)
        text.toolFormat = .hermes
        text.markers["<tool_call>"] = mark
        var bytes = text.vocabulary.bytes
        bytes[mark] = nil
        text.vocabulary = TokenVocabulary(bytes: bytes, endTokens: text.vocabulary.endTokens)
        var options = LoadedLanguageModel.Options()
        options.format = .dense
        return try ServedModel(options: options, text: text)
    }

    private static func request(_ max: Int) -> GenerationRequest {
        var request = GenerationRequest.tokens(prompt(20), max: max)
        request.form = .tools([weather])
        request.sampling = Sampling(temperature: 2, seed: 3)
        request.sampling.logitBias = [mark: 100]
        return request
    }

    private static func call(_ events: [GenerationEvent]) -> (names: [String], arguments: String) {
        var (names, arguments) = ([String](), "")
        for event in events {
            if case .toolCall(_, _, _, let name) = event { names.append(name) }
            if case .toolArguments(_, _, let part) = event { arguments += part }
        }
        return (names, arguments)
    }

    /// Whole ones, the spaces of which are the model's choice.
    private static let answers = (1...9).flatMap { ["{\"days\":\($0)}", "{\"days\": \($0)}"] }

    @Test(arguments: [false, true])
    func aCallThatBeginsTooLateIsCutOffAsOne(isParallel: Bool) async throws {
        let served = try Self.served()
        for max in Array(stride(from: 1, to: Self.whole, by: 5)) + [Self.named - 1, Self.named] {
            var request = Self.request(max)
            request.parallelToolCalls = isParallel
            let events = try await served.events(request)
            let (names, arguments) = Self.call(events)
            #expect(events.text() == "" && events.finish() == .length, "\(max)")
            #expect(names == (max < Self.named ? [] : ["weather"]), "\(max)")
            #expect(Self.answers.contains { $0.hasPrefix(arguments) }, "\(max): \(arguments)")
            #expect(events.usage?.completionTokens == max)
        }
        // With just enough room it is whole, though no token is left for the end.
        for max in [Self.whole, Self.whole + 1, Self.whole + 3] {
            var request = Self.request(max)
            request.parallelToolCalls = isParallel
            let events = try await served.events(request)
            let (names, arguments) = Self.call(events)
            #expect(events.text() == "" && events.finish() == .toolCalls, "\(max)")
            #expect(names == ["weather"] && Self.answers.contains(arguments), "\(arguments)")
        }
    }

    @Test func aStopTextWithinACallEndsItWithoutSayingThatItIsWhole() async throws {
        let served = try Self.served()
        for (stop, names, arguments) in [("weather", [], ""), ("days", ["weather"], "{\"")]
            as [(String, [String], String)]
        {
            var request = Self.request(150)
            request.stop = [stop]
            let events = try await served.events(request)
            let call = Self.call(events)
            #expect(events.text() == "" && events.finish() == .stop)
            #expect(call.names == names && call.arguments == arguments, "\(call)")
        }
    }
}
