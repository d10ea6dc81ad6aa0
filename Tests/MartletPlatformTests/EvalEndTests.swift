import Foundation
import MartletPlatform
import MartletStore
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// Runs whose end cannot be stored, and runs that wait for a budget.
@Suite("Eval runs that are in a fix", .serialized) struct EvalEndTests {
    private static let config: JSON = ["type": "custom", "item_schema": ["type": "object", "required": ["a"]]]
    private static let criteria: JSON = [
        ["type": "string_check", "name": "c", "operation": "eq", "input": "{{ item.a }}", "reference": "1"]
    ]

    private func source(_ items: [JSON]) -> JSON {
        ["type": "jsonl", "source": ["type": "file_content", "content": .array(items.map { ["item": $0] })]]
    }

    /// A platform whose database refuses a state of runs as long as there is an eval of the name `blocker`.
    private func bench(refusing state: String) async throws -> (Bench, String) {
        let first = try await Bench()
        let blocker = try await first.platform.evals.create(
            name: "blocker", metadata: nil, dataSourceConfig: Self.config, testingCriteria: Self.criteria,
            by: first.admin)
        try await first.stop(keep: true)
        let store = try Store(path: first.home + "/martlet.sqlite")
        try await store.alter(
            """
            CREATE TRIGGER refuse BEFORE UPDATE ON eval_runs WHEN NEW.state = '\(state)' AND OLD.state != NEW.state
            AND EXISTS (SELECT 1 FROM evals WHERE json_extract(info, '$.name') = 'blocker')
            BEGIN SELECT RAISE(FAIL, 'no room'); END
            """)
        try store.close()
        return (try await Bench(home: first.home), blocker.id)
    }

    @Test func `a failed run is not taken for one that is ready`() async throws {
        let (bench, blocker) = try await bench(refusing: "failed")
        let evals = bench.platform.evals
        let eval = try await evals.create(
            name: "e", metadata: nil, dataSourceConfig: Self.config, testingCriteria: Self.criteria, by: bench.admin)
        // The second item does not fit the schema, so the run fails.
        let run = try await evals.createRun(
            eval.id, name: nil, dataSource: source([["a": "1"], ["b": "1"]]), metadata: nil, by: bench.admin)
        func state() async throws -> StoredEvalRun.State {
            try await evals.showRun(run.run.id, of: eval.id, by: bench.admin).run.state
        }
        // Two turns and more.
        try await Task.sleep(for: .seconds(3))
        #expect(try await state() == .queued)
        try await evals.delete(blocker, by: bench.admin)
        try await eventually { try await state() == .failed }
        try await bench.stop()
    }

    @Test func `a run whose cancellation fails goes on`() async throws {
        let (bench, _) = try await bench(refusing: "canceled")
        let isOpen = Mutex(false)
        bench.platform.executor.set(Waiter(isOpen: { isOpen.withLock { $0 } }))
        let evals = bench.platform.evals
        let eval = try await evals.create(
            name: "e", metadata: nil, dataSourceConfig: Self.config, testingCriteria: Self.criteria, by: bench.admin)
        let data: JSON = [
            "type": "completions", "model": "m",
            "source": ["type": "file_content", "content": [["item": ["a": "1"]]]],
            "input_messages": ["type": "template", "template": [["role": "user", "content": "x"]]],
        ]
        let run = try await evals.createRun(eval.id, name: nil, dataSource: data, metadata: nil, by: bench.admin)
        func state() async throws -> StoredEvalRun.State {
            try await evals.showRun(run.run.id, of: eval.id, by: bench.admin).run.state
        }
        try await eventually { try await state() == .inProgress }
        await #expect(throws: MartletError.self) {
            _ = try await evals.cancelRun(run.run.id, of: eval.id, by: bench.admin)
        }
        isOpen.withLock { $0 = true }
        try await eventually { try await state() == .completed }
        try await bench.stop()
    }

    @Test func `graders that wait for a budget leave their places to others`() async throws {
        let bench = try await Bench { $0.backgroundRequests = 1 }
        let asked = Mutex(0)
        bench.platform.executor.set(Judge(asked: { asked.withLock { $0 += 1 } }))
        let evals = bench.platform.evals
        func run(_ criteria: JSON, _ data: JSON) async throws -> () async throws -> StoredEvalRun.State {
            let eval = try await evals.create(
                name: nil, metadata: nil, dataSourceConfig: Self.config, testingCriteria: criteria, by: bench.admin)
            let run = try await evals.createRun(eval.id, name: nil, dataSource: data, metadata: nil, by: bench.admin)
            return { try await evals.showRun(run.run.id, of: eval.id, by: bench.admin).run.state }
        }
        let graded: JSON = [
            [
                "type": "score_model", "name": "s", "model": "spent", "pass_threshold": 0.5,
                "input": [["role": "user", "content": "x"]],
            ]
        ]
        let waiting = try await run(graded, source([["a": "1"], ["a": "2"]]))
        try await eventually { asked.withLock { $0 } > 1 }
        let other = try await run(
            Self.criteria,
            [
                "type": "completions", "model": "m",
                "source": ["type": "file_content", "content": [["item": ["a": "1"]]]],
                "input_messages": ["type": "template", "template": [["role": "user", "content": "x"]]],
            ])
        try await eventually { try await other() == .completed }
        #expect(try await waiting() == .inProgress)
        try await bench.stop()
    }

    /// A model whose asker has nothing left, and another.
    private struct Judge: RequestExecutor {
        let asked: @Sendable () -> Void

        func execute(_ request: InnerRequest) async -> InnerReply {
            guard request.body["model"] == "spent" else {
                return InnerReply(
                    status: 200, body: ["choices": [["message": ["content": "y"], "finish_reason": "stop"]]],
                    requestID: "r")
            }
            asked()
            return InnerReply(
                status: 429, body: ["error": ["code": "insufficient_quota", "message": "spent"]], requestID: "r")
        }
    }

    /// Answers once it may.
    private struct Waiter: RequestExecutor {
        let isOpen: @Sendable () -> Bool

        func execute(_ request: InnerRequest) async -> InnerReply {
            while !isOpen() {
                guard (try? await Task.sleep(for: .milliseconds(10))) != nil else {
                    return InnerReply(status: 499, body: [:], requestID: "r")
                }
            }
            return InnerReply(
                status: 200, body: ["choices": [["message": ["content": "y"], "finish_reason": "stop"]]],
                requestID: "r")
        }
    }
}
