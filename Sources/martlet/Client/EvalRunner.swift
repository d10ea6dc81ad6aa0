import Foundation
import MartletWire

/// Runs graders over a model's answers as `/v1/evals` does, and waits for the result.
struct EvalRunner {
    let client: Client
    let output: Output

    /// The run as it ended.
    func run(_ file: GraderFile, model: String, _ items: EvalItems) async throws -> JSON {
        guard items.haveInput || file.asked["input_messages"] != nil else {
            throw MartletError(
                .invalidData,
                "the lines have no messages, input or prompt to ask; give input_messages in the graders' file")
        }
        let eval: JSON = try await client.send(
            .POST, "/v1/evals",
            [
                "name": .string("evaluate \(model)"), "testing_criteria": file.criteria,
                "data_source_config": [
                    "type": "custom", "include_sample_schema": true,
                    "item_schema": ["type": "object", "properties": [:]],
                ],
            ] as JSON)
        var source = file.asked
        source["type"] = "completions"
        source["model"] = .string(model)
        source["source"] = ["type": "file_content", "content": .array(items.items)]
        if source["input_messages"] == nil {
            source["input_messages"] = ["type": "item_reference", "item_reference": "item.input"]
        }
        if source["sampling_params"] == nil {
            source["sampling_params"] = ["temperature": 0, "max_completion_tokens": 256]
        }
        let base = "/v1/evals/\(Client.segment(eval["id"]?.string ?? ""))/runs"
        var run: JSON = try await client.send(
            .POST, base, ["name": .string(model), "data_source": .object(source)] as JSON)
        output.note("asking \(model) \(items.items.count) times")
        let path = "\(base)/\(Client.segment(run["id"]?.string ?? ""))"
        while !["completed", "failed", "canceled"].contains(run["status"]?.string ?? "") {
            try await Task.sleep(for: .milliseconds(250))
            run = try await client.get(path)
        }
        return run
    }
}

/// A run as text.
enum EvalText {
    static func run(_ run: JSON) -> String {
        var table = Table(["GRADER", ">PASSED", ">FAILED"])
        for result in run["per_testing_criteria_results"]?.array ?? [] {
            table.add([
                result["testing_criteria"]?.string ?? "", Format.count(result["passed"]?.int ?? 0),
                Format.count(result["failed"]?.int ?? 0),
            ])
        }
        let counts = run["result_counts"] ?? .null
        func count(_ name: String) -> Int { counts[name]?.int ?? 0 }
        var lines = ["\(count("passed")) of \(count("total")) passed, \(count("failed")) failed"]
        if count("errored") > 0 { lines[0] += ", \(count("errored")) could not be judged" }
        lines.append("run         \(run["id"]?.string ?? "") of \(run["eval_id"]?.string ?? "")")
        return table.isEmpty ? lines.joined(separator: "\n") : table.text + "\n\n" + lines.joined(separator: "\n")
    }
}
