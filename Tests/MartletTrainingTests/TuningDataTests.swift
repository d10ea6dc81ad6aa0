import Foundation
import MartletTesting
import MartletTraining
import MartletWire
import Synchronization
import Testing

/// Lines that cannot be learnt from are refused with their file and number, and what is wrong with them.
@Suite struct TuningDataTests {
    private static let good =
        #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#

    private static func recipe(_ method: String) -> String {
        "name: tuned\nbase: tiny\ntuning: \(method)\ndata: {source: {train: lines.jsonl}}\ntraining: {steps: 1}"
    }

    private static func messages(_ list: String, _ more: String = "") -> String { "{\"messages\": [\(list)]\(more)}" }
    private static let user = #"{"role": "user", "content": "a"}"#
    private static let assistant = #"{"role": "assistant", "content": "b"}"#
    private static let call =
        #"{"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}"#

    /// A line that is bad, and what its message holds.
    static let lines: [(line: String, parts: [String])] = [
        ("{\"messages\": [", ["JSON is not valid at byte", "ends early"]),
        ("x", ["JSON is not valid at byte 0"]),
        ("[1]", ["the line is a list but must be an object"]),
        (#"{"messages": "a"}"#, ["'messages' is a string but must be a list"]),
        (#"{"massages": []}"#, ["'messages' is missing"]),
        (messages(""), ["has 0 messages"]),
        (messages(user), ["the last of messages is the user's", "end with the assistant's"]),
        (messages(#"{"role": "robot", "content": "a"}"#), ["'messages[0].role' is 'robot'", "assistant"]),
        (messages("\(user), \(assistant), \(assistant)"), ["messages[2] is out of order", "follows another"]),
        (
            messages("\(user), {\"role\": \"tool\", \"tool_call_id\": \"c1\", \"content\": \"x\"}, \(assistant)"),
            ["messages[1] is out of order", "no assistant message before it calls a tool with the id 'c1'"]
        ),
        (messages("\(user), \(call), \(user), \(assistant)"), ["messages[2] is out of order", "'c1' has no answer"]),
        (messages(#"\#(user), {"role": "assistant", "content": ""}"#), ["of the assistant is empty"]),
        (messages(#"\#(user), {"role": "assistant", "content": "  \n"}"#), ["of the assistant is empty"]),
        (messages(#"\#(user), {"role": "assistant"}"#), ["of the assistant is empty"]),
        (
            messages(#"\#(user), {"role": "assistant", "content": "b", "weight": 2}"#),
            ["'messages[1].weight' is 2", "0 or 1"]
        ),
        (messages(#"\#(user), {"role": "assistant", "content": "b", "weight": 0.5}"#), ["is 0.5; give 0 or 1"]),
        (messages(#"\#(user), {"role": "assistant", "content": "b", "weight": 0}"#), ["weight 0 on every assistant"]),
        (messages(#"{"role": "user", "content": "a", "weight": 1}, \#(assistant)"#), ["only the assistant's has one"]),
        (messages(#"\#(user), {"role": "assistant", "contents": "b"}"#), ["of the assistant is empty"]),
        (
            messages(#"{"role": "user", "content": "a", "mood": 1}, \#(assistant)"#),
            ["unknown field 'messages[0].mood'"]
        ),
        (
            messages(#"{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, \#(assistant)"#),
            ["'messages[0].content[0].type' is 'image_url'", "only text"]
        ),
        (
            messages(
                #"\#(user), {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}]}"#
            ), ["arguments' is not the text of a JSON object"]
        ),
        (
            messages("\(user), \(assistant)", #", "tools": {"type": "function"}"#),
            ["'tools' is an object but must be a list"]
        ),
        (messages("\(user), \(assistant)", #", "tools": [{"type": "function"}]"#), ["'tools[0].function' is missing"]),
        (
            messages(
                "\(user), \(assistant)",
                #", "tools": [{"type": "function", "function": {"name": "f", "parameters": 3}}]"#),
            ["'tools[0].function.parameters' is a number"]
        ),
        (messages("\(user), \(assistant)", #", "functions": []"#), ["'functions' is not read; use tools"]),
        (messages("\(user), \(assistant)", #", "parallel_tool_calls": "yes""#), ["must be true or false"]),
        (messages("\(user), \(assistant)", #", "tool": []"#), ["unknown field 'tool'", "did you mean 'tools'"]),
        (#"{"prompt": "a"}"#, ["'completion' is missing"]),
        (#"{"prompt": "a", "completion": ""}"#, ["'completion' is empty"]),
        (
            messages("{\"role\": \"user\", \"content\": \"\(String(repeating: "ab ", count: 400))\"}, \(assistant)"),
            ["tokens, and the model's context is 512; shorten it"]
        ),
    ]

    @Test(arguments: lines.indices) func `a bad line is named`(index: Int) throws {
        let (line, parts) = Self.lines[index]
        let test = try TuningTest(
            Self.recipe("supervised"), ["lines.jsonl": [Self.good, "", line, Self.good].joined(separator: "\n")])
        expectFault(.invalidData, ["lines.jsonl, line 3: "] + parts) { _ = try test.run() }
        #expect(!FileManager.default.fileExists(atPath: test.directory + "/checkpoints"))
    }

    @Test func `line 4,711 is found among others`() throws {
        var lines = Array(repeating: Self.good, count: 5000)
        lines[4710] = String(Self.good.dropLast())
        let test = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": lines.joined(separator: "\n")])
        expectFault(.invalidData, ["lines.jsonl, line 4711: the JSON is not valid"]) { _ = try test.run() }
    }

    @Test func `millions of lines of one character are not all read`() throws {
        let test = try TuningTest(
            Self.recipe("supervised"), ["lines.jsonl": String(repeating: "x\n", count: 10_000_000)])
        // Whether to stop is asked every few hundred lines.
        let questions = Mutex(0)
        let error = expectFault(
            .invalidData, ["lines.jsonl, line 1: ", "lines.jsonl, line 20: ", "stopped after 20 faults"]
        ) {
            _ = try test.run(in: "preparing") { number in
                questions.withLock { $0 = number }
                return nil
            }
        }
        #expect(error.map { !$0.message.contains("line 21") } ?? false)
        #expect(questions.withLock { (1...100).contains($0) })
    }

    @Test func `bytes that are no text, and files without lines, are refused`() throws {
        var test = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": "\n  \n"])
        expectFault(.invalidData, ["lines.jsonl: there are no examples"]) { _ = try test.run() }
        test = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": ""])
        expectFault(.invalidData, ["there are no examples"]) { _ = try test.run() }
        var bytes = Data((Self.good + "\n").utf8)
        bytes.append(contentsOf: Data(Self.good.replacingOccurrences(of: "\"b\"", with: "\"?\"").utf8))
        bytes[bytes.lastIndex(of: UInt8(ascii: "?")) ?? 0] = 0xFF
        try bytes.write(to: URL(filePath: try #require(test.files["lines.jsonl"])))
        expectFault(.invalidData, ["lines.jsonl, line 2: ", "not valid UTF-8"]) { _ = try test.run() }
    }

    @Test(arguments: [
        ("{\"input\": {\"messages\": []}}", "has 0 messages"),
        (#"{"preferred_output": []}"#, "'input' is missing"),
        (
            #"{"input": {"messages": [{"role": "user", "content": "a"}]}, "preferred_output": [], "non_preferred_output": []}"#,
            "'preferred_output' has 0 messages; give one"
        ),
        (
            #"{"input": {"messages": [{"role": "user", "content": "a"}]}, "preferred_output": [{"role": "user", "content": "b"}], "non_preferred_output": []}"#,
            "an answer is the assistant's"
        ),
        (
            #"{"input": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "preferred_output": [], "non_preferred_output": []}"#,
            "end with the user's message"
        ),
    ]) func `a bad pair is named`(line: String, part: String) throws {
        let test = try TuningTest(Self.recipe("dpo"), ["lines.jsonl": line])
        expectFault(.invalidData, ["lines.jsonl, line 1: ", part]) { _ = try test.run() }
    }

    @Test func `a base without a template refuses conversations and takes completions`() throws {
        let scratch = try Scratch()
        let base = scratch.path + "/plain"
        try FileManager.default.copyItem(atPath: TuningTest.tiny, toPath: base)
        let config = base + "/tokenizer_config.json"
        var json = try #require(try JSONParser.parse(Data(contentsOf: URL(filePath: config))).object)
        json["chat_template"] = nil
        try JSON.object(json).data.write(to: URL(filePath: config))
        let chat = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": Self.good], base: base)
        expectFault(.invalidData, ["line 1: ", "no chat template; give prompt and completion"]) { _ = try chat.run() }
        let plain = try TuningTest(
            Self.recipe("supervised"), ["lines.jsonl": #"{"prompt": "the swift", "completion": " flies"}"#], base: base)
        let told = Told()
        _ = try plain.finish(told)
        // " flies" is six tokens, and the end.
        #expect(told.event("data")?.data["learntTokens"]?.int == 7)
    }

    @Test func `a template that does not go on from its prompt is told, one that rewrites earlier turns is cut`() throws
    {
        func base(_ template: String, in scratch: Scratch) throws -> String {
            let base = scratch.path + "/\(UUID().uuidString)"
            try FileManager.default.copyItem(atPath: TuningTest.tiny, toPath: base)
            try Data(template.utf8).write(to: URL(filePath: base + "/chat_template.jinja"))
            return base
        }
        let scratch = try Scratch()
        let two = Self.messages("\(Self.user), \(Self.assistant), \(Self.user), \(Self.assistant)")
        let broken = try base(
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}say: {% endif %}",
            in: scratch)
        let refused = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": two], base: broken)
        expectFault(.invalidData, ["line 1: messages[1] does not go on from its prompt", "'say: '", "'assistant"]) {
            _ = try refused.run()
        }
        let rewriting = try base(
            "{% for m in messages %}<|start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}(left out){% else %}"
                + "{{ m.content }}{% endif %}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
            in: scratch)
        let cut = try TuningTest(Self.recipe("supervised"), ["lines.jsonl": two], base: rewriting)
        let told = Told()
        _ = try cut.finish(told)
        #expect(told.event("data")?.data["trainLines"]?.int == 1)
        #expect(told.event("data")?.data["trainCount"]?.int == 2)
        #expect(told.events.contains { $0.message.contains("one example for each answer") })
    }

    /// A recipe's numbers may be as large as a number can be.
    @Test(.timeLimit(.minutes(10)), arguments: ["supervised", "dpo", "reinforcement"])
    func `the largest batch and the longest answer end the process of no worker`(method: String) throws {
        let prompts = ["one", "two"].map {
            "{\"messages\": [{\"role\": \"user\", \"content\": \"\($0)\"}], \"wanted\": \"\($0)\"}"
        }.joined(separator: "\n")
        let file = method == "dpo" ? "pairs.jsonl" : method == "supervised" ? "chat.jsonl" : "prompts.jsonl"
        let grader = #"{type: string_check, name: g, operation: eq, input: "{{sample.output_text}}", reference: "z"}"#
        let more = method == "reinforcement" ? ", samples: 2, max_tokens: \(Int.max), grader: \(grader)" : ""
        let test = try TuningTest(
            """
            name: large
            base: tiny
            tuning: {method: \(method)\(more)}
            data: {source: {train: \(file), validation: \(file)}}
            training: {steps: 2, batch_size: \(Int.max), accumulate: \(Int.max)}
            """, [file: file == "prompts.jsonl" ? prompts : TuningTest.goldenText(file)])
        let told = Told()
        _ = try test.finish(told)
        let name = method == "reinforcement" ? "valid_reward_mean" : "valid_loss"
        #expect(TuningTest.curve(told, name).count == 2)
    }

    @Test func `what a recipe cannot mean is refused by name`() throws {
        let lines = ["lines.jsonl": Self.good]
        func refusal(_ more: String, _ code: MartletError.Code, _ parts: [String]) throws {
            let test = try TuningTest("name: t\nbase: tiny\ndata: {source: {train: lines.jsonl}}\n\(more)", lines)
            expectFault(code, parts) { _ = try test.run() }
        }
        try refusal("adapter: {targets: [w_proj]}", .invalidRecipe, ["'w_proj', which is no linear layer", "q_proj"])
        try refusal("adapter: {rank: 40}", .invalidRecipe, ["adapter.rank is 40", "at most 32"])
        let grader = #"{type: score_model, name: g, model: m, input: [{role: user, content: "x"}]}"#
        try refusal(
            "tuning: {method: reinforcement, grader: \(grader)}", .unsupportedFormat, ["asks the model 'm'"])
    }
}
