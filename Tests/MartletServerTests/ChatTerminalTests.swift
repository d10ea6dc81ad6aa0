import Foundation
import MartletTesting
import MartletWire
import Testing

/// `martlet chat` at a terminal, with a server whose engine is played by the test.
@Suite("A chat at a terminal", .serialized)
struct ChatTerminalTests {
    private static func chat(_ fake: OpenAIFake) throws -> PseudoTerminal {
        try PseudoTerminal([
            try TestHome.findProgram(), "chat", "tiny", "--url", fake.live.url, "--api-key", fake.live.adminKey,
        ])
    }

    /// Never ends the first answer by itself, and ends others at once.
    private static func firstEndless(_ steps: OpenAIDepartureTests.Steps, started: Bool) -> OpenAIFake.Answer {
        { request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            let isFirst = messages.last?["content"] == "First"
            let answer = isFirst ? OpenAIDepartureTests.endless(steps, started: started) : OpenAIFake.say("Good")
            try await answer(request, exchange)
        }
    }

    @Test(arguments: [true, false]) func ctrlCStopsAnAnswerAndAtThePromptLeaves(started: Bool) async throws {
        let steps = OpenAIDepartureTests.Steps()
        try await OpenAIFake.with(Self.firstEndless(steps, started: started)) { fake in
            let terminal = try Self.chat(fake)
            defer { terminal.finish() }
            try await eventually { terminal.text.hasSuffix("> ") }
            terminal.type("First\n")
            try await eventually { fake.asked.count == 1 && (!started || terminal.text.contains("xxx")) }
            terminal.type(PseudoTerminal.interrupt)
            // The server takes it from the engine, long before it would have ended.
            try await eventually { steps.hasEnded }
            #expect(steps.done < 6000)
            try await eventually { terminal.text.contains("(stopped)") && terminal.text.hasSuffix("> ") }
            #expect(terminal.poll() == nil)

            // What was said until then is in the conversation; an answer without a word is not.
            terminal.type("Second\n")
            try await eventually { terminal.text.contains("Good") && terminal.text.hasSuffix("> ") }
            guard case .chat(let messages, _)? = fake.asked.last?.prompt else { throw HarnessError("no chat came") }
            #expect(messages.compactMap { $0["role"]?.string } == (started ? ["user", "assistant", "user"] : ["user"]))
            #expect(messages.last?["content"] == "Second")
            if started { #expect(messages[1]["content"]?.string?.hasPrefix("xxx") == true) }

            terminal.type(PseudoTerminal.interrupt)
            try await eventually { terminal.poll() != nil }
            #expect(terminal.poll() == .code(0))
            try await eventually { terminal.text.hasSuffix("> ^C\r\n") }
            #expect(terminal.isSane)
        }
    }

    @Test func theEndOfTheInputLeaves() async throws {
        try await OpenAIFake.with { fake in
            let terminal = try Self.chat(fake)
            defer { terminal.finish() }
            try await eventually { terminal.text.hasSuffix("> ") }
            terminal.type("Hi\n")
            try await eventually { terminal.text.contains("Hello") && terminal.text.hasSuffix("> ") }
            terminal.type("\u{4}")
            try await eventually { terminal.poll() != nil }
            #expect(terminal.poll() == .code(0) && terminal.isSane)
        }
    }
}
