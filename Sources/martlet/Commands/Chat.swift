import ArgumentParser
import Foundation
import MartletWire
import Synchronization

struct Chat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Talk with a language model: a deployment, or a model by name.",
        discussion: """
            Each line is a message; the conversation goes on until /quit or the end of the input.
            A model without a chat template goes on with the conversation as plain text, and that is said.
            /reset forgets the conversation, /system TEXT sets the instructions, /help lists these commands.
            Ctrl-C stops an answer, and at the prompt it leaves.
            """)
    @Argument(help: "The deployment or model.") var deployment: String
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        try await Connection.with(options) { client in
            // What does not exist is said before the first line is typed.
            do {
                let _: JSON = try await client.get("/v1/models/\(Client.segment(deployment))")
            } catch let error as MartletError where error.code == .modelNotFound {
                throw MartletError(
                    .modelNotFound,
                    "there is no language model or deployment '\(deployment)'; see: martlet models list",
                    param: error.param)
            }
            var session = ChatSession(stream: ChatStream(client: client, model: deployment), output: options.output)
            try await session.run()
        }
    }
}

/// A conversation in the terminal, or with lines from a pipe.
struct ChatSession {
    let stream: ChatStream
    let output: Output
    private var messages: [JSON] = []
    private var system: String?
    private var turns: [JSON] = []
    private var form = ChatStream.Form.template
    private let input = ChatInput()
    /// Whether it was told that the conversation is longer than the model can see.
    private var isCut = false
    /// What was told of a line that the chat went on after.
    private var told: MartletError?
    private var isInteractive: Bool { input.isInteractive }

    private static let help = """
        /reset        forget the conversation
        /system TEXT  set the instructions and start again; without a text, remove them
        /help         this list
        /quit         leave
        Ctrl-C        stop an answer; at the prompt, leave
        """

    init(stream: ChatStream, output: Output) {
        self.stream = stream
        self.output = output
    }

    mutating func run() async throws {
        if isInteractive { output.note("/help lists the commands, /quit leaves") }
        while let line = input.next() {
            let text = line.trimmingCharacters(in: .whitespaces)
            guard !text.isEmpty else { continue }
            let command = text.split(maxSplits: 1, whereSeparator: \.isWhitespace).map(String.init)
            switch command[0] {
            case "/quit", "/exit": return try end()
            case "/help": output.note(Self.help)
            case "/reset": reset()
            case "/system":
                system = command.count > 1 ? command[1].trimmingCharacters(in: .whitespaces) : nil
                // It may have been what the model did not know.
                if form == .lastMessage { form = .dialogue }
                reset()
            case let word where word.hasPrefix("/") && !word.dropFirst().contains("/"):
                output.note("there is no command '\(word)'; /help lists them")
            default:
                do {
                    try await say(text)
                } catch let error as MartletError where isInteractive || error.isOfUnknownText {
                    Console.error(error.message)
                    if !isInteractive { told = told ?? error }
                } catch let error as MartletError {
                    showTurns()
                    throw error
                }
            }
        }
        // The shell's own prompt begins a line.
        if isInteractive { Console.write("\n") }
        try end()
    }

    private mutating func reset() {
        messages = []
        isCut = false
        output.note("the conversation starts again")
    }

    /// One turn; a failed one leaves the conversation as it was.
    private mutating func say(_ text: String) async throws {
        let question: JSON = ["role": "user", "content": .string(text)]
        let isJSON = output.isJSON
        let hasText = Atomic(false)
        let outcome: ChatStream.Outcome
        do {
            outcome = try await answer(question) { piece in
                guard !isJSON else { return }
                hasText.store(true, ordering: .relaxed)
                Self.show(Console.inert(piece))
            }
        } catch {
            if hasText.load(ordering: .relaxed) { Self.show("\n") }
            throw error
        }
        if !isJSON { Self.show("\n") }
        // What was stopped before its first word was not said.
        if !outcome.isStopped || !outcome.text.isEmpty {
            messages += [question, ["role": "assistant", "content": .string(outcome.text)]]
        }
        if isJSON {
            turns.append([
                "role": "assistant", "content": .string(outcome.text), "finish_reason": .string(outcome.finish),
                "prompt_tokens": JSON(outcome.promptTokens), "completion_tokens": JSON(outcome.completionTokens),
                "first_seconds": .double(outcome.firstSeconds),
                "tokens_per_second": outcome.tokensPerSecond.map { .double($0) } ?? .null,
            ])
        } else {
            output.note(Self.line(outcome))
        }
    }

    /// At once: what `print` writes stays behind where the output is a pipe.
    private static func show(_ text: String) {
        try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
    }

    /// The answer in the first form that the model can take, to as much of the conversation as its context holds.
    private mutating func answer(
        _ question: JSON, _ write: @escaping @Sendable (String) -> Void
    ) async throws -> ChatStream.Outcome {
        let instructions: [JSON] = system.map { [["role": "system", "content": .string($0)]] } ?? []
        var history = messages
        while true {
            let (stream, form, asked) = (stream, form, instructions + history + [question])
            do {
                let outcome = try await input.stoppable { try await stream.ask(asked, as: form, write) }
                messages = history
                return outcome
            } catch let error as MartletError where error.code == .contextLengthExceeded && !history.isEmpty {
                // A question and its answer.
                history.removeFirst(2)
                if !isCut {
                    isCut = true
                    output.note(
                        "the conversation is longer than \(stream.model)'s context: its oldest turns are left out")
                }
            } catch let error as MartletError where form == .template && error.isOfMissingTemplate {
                self.form = .dialogue
                output.note("\(stream.model) has no chat template: it goes on with the conversation as plain text")
            } catch let error as MartletError where form == .dialogue && error.isOfUnknownText {
                // What the person wrote is theirs to mend; what stands around it is not.
                try await stream.check(question["content"]?.string ?? "")
                self.form = .lastMessage
                output.note(
                    "\(stream.model) does not know all characters of the conversation as plain text: it goes on with "
                        + "each message alone")
            }
        }
    }

    /// `38 tokens, 81.2 tokens/s, first after 0.12 s`.
    private static func line(_ outcome: ChatStream.Outcome) -> String {
        // How many tokens there were stands at an answer's end.
        if outcome.isStopped { return "(stopped)" }
        var parts = [Format.count(outcome.completionTokens, "token")]
        if let speed = outcome.tokensPerSecond { parts.append(String(format: "%.1f tokens/s", speed)) }
        parts.append(String(format: "first after %.2f s", outcome.firstSeconds))
        if outcome.finish == "length" { parts.append("cut at the limit") }
        return "(" + parts.joined(separator: ", ") + ")"
    }

    private func end() throws {
        showTurns()
        if let told { throw ExitCode(told.exitCode) }
    }

    private func showTurns() {
        if output.isJSON { print(JSON.array(turns).serialized(pretty: true)) }
    }
}

extension MartletError {
    /// Whether the model has no chat template.
    fileprivate var isOfMissingTemplate: Bool { param == "messages" && message.contains("no chat template") }

    /// Whether the model has no token for a part of the text.
    fileprivate var isOfUnknownText: Bool { message.contains("the tokenizer does not know") }
}
