import Foundation
import MartletWire

/// A model's chat template: the Jinja that transformers renders, interpreted.
///
/// The syntax is that of Jinja 3.1 with `trim_blocks`, `lstrip_blocks`, loop controls, transformers' `tojson`,
/// `raise_exception`, `strftime_now` and `{% generation %}`. Values of the host are out of reach, lists and dictionaries
/// cannot be changed, and every rendering has a budget.
public struct ChatTemplate: Sendable {
    /// What one rendering may take.
    public struct Budget: Sendable {
        /// Expressions, statements and items, and 64 bytes of text each.
        public var steps: Int
        public var outputBytes: Int
        public var time: Duration
        /// Nesting of macro calls, blocks and expressions.
        public var depth: Int

        public init(
            steps: Int = 20_000_000, outputBytes: Int = 1 << 24, time: Duration = .seconds(1), depth: Int = 192
        ) {
            self.steps = steps
            self.outputBytes = outputBytes
            self.time = time
            self.depth = depth
        }

        public static let `default` = Budget()
    }

    /// A rendered prompt, with the byte ranges that `{% generation %}` marks: what an assistant said.
    public struct Rendering: Sendable, Equatable {
        public var text: String
        public var generated: [Range<Int>]
    }

    public static let maximumBytes = 1 << 20

    private let body: [TemplateStatement]
    private let names: TemplateNames
    public let source: String

    /// Reads a template. Throws `invalidData` with the line of the fault.
    public init(_ source: String) throws {
        guard source.utf8.count <= Self.maximumBytes else {
            throw MartletError(
                .invalidData,
                "the chat template has \(source.utf8.count) bytes; at most \(Self.maximumBytes) are allowed")
        }
        self.source = source
        do {
            (body, names) = try TemplateParser.parse(source)
        } catch let fault as TemplateFault {
            throw MartletError(
                .invalidData, "the chat template is not valid at line \(fault.line ?? 1): \(fault.message)")
        }
    }

    /// The prompt of a conversation. `variables` are what the tokenizer's config and the request add: `bos_token`,
    /// `eos_token`, `enable_thinking` and the like. Throws `invalidRequest` where the template refuses the messages, else
    /// `invalidData`, with the line.
    public func render(
        messages: [JSON], tools: [JSON] = [], addGenerationPrompt: Bool, variables: [String: JSON] = [:],
        budget: Budget = .default
    ) throws -> String {
        try rendering(
            messages: messages, tools: tools, addGenerationPrompt: addGenerationPrompt, variables: variables,
            budget: budget
        ).text
    }

    /// As `render`, with the places of what assistants said.
    public func rendering(
        messages: [JSON], tools: [JSON] = [], addGenerationPrompt: Bool, variables: [String: JSON] = [:],
        budget: Budget = .default
    ) throws -> Rendering {
        var context = JSONObject(variables.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        context["messages"] = .array(messages)
        context["tools"] = tools.isEmpty ? .null : .array(tools)
        context["documents"] = context["documents"] ?? .null
        context["add_generation_prompt"] = .bool(addGenerationPrompt)
        return try render(context: context, budget: budget)
    }

    /// Renders with any variables. `now` is the time of `strftime_now` in Unix seconds; nil is the present.
    public func render(context: JSONObject, budget: Budget = .default, now: Int? = nil) throws -> Rendering {
        let interpreter = TemplateInterpreter(names: names, budget: budget, now: now)
        do {
            let values = try context.map { ($0.key, try TemplateValue($0.value)) }
            let text = try interpreter.run(body, context: values)
            return Rendering(text: text, generated: interpreter.generated)
        } catch let fault as TemplateFault {
            let place = "line \(fault.line ?? max(1, interpreter.line))"
            switch fault.kind {
            case .raised:
                throw MartletError(
                    .invalidRequest, "the model's chat template refuses the messages: \(fault.message)",
                    param: "messages")
            case .template:
                throw MartletError(.invalidData, "the chat template failed at \(place): \(fault.message)")
            case .budget:
                throw MartletError(.invalidData, "the chat template was stopped at \(place): \(fault.message)")
            }
        }
    }
}
