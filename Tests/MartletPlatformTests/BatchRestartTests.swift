import Foundation
import Logging
import MartletPlatform
import MartletStore
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("Batches over restarts and time", .serialized)
struct BatchRestartTests {
    /// Gives as many answers as it may and counts who was asked; what is cancelled before is not an answer.
    private final class Executor: RequestExecutor {
        private struct State {
            var answered: [String: Int] = [:]
            var left: Int
        }
        private let state: Mutex<State>

        /// `answers`: how many it gives until it may give more.
        init(answers: Int = .max) { state = Mutex(State(left: answers)) }

        var answered: [String: Int] { state.withLock { $0.answered } }
        /// Whether it has given them all, so that whoever asks now waits.
        var isDone: Bool { state.withLock { $0.left == 0 } }
        func allow(_ answers: Int) { state.withLock { $0.left = answers } }

        func execute(_ request: InnerRequest) async -> InnerReply {
            let text = request.body["messages"]?.array?.last?["content"]?.string ?? ""
            var isAnswered = false
            while !isAnswered {
                guard (try? await Task.sleep(for: .milliseconds(4))) != nil else {
                    return InnerReply(status: 499, body: [:], requestID: "r")
                }
                isAnswered = state.withLock { state in
                    guard state.left > 0 else { return false }
                    state.left -= 1
                    state.answered[text, default: 0] += 1
                    return true
                }
            }
            return InnerReply(
                status: 200,
                body: [
                    "choices": [["message": ["content": .string("answer \(text)")], "finish_reason": "stop"]],
                    "usage": ["prompt_tokens": 2, "completion_tokens": 3],
                ], requestID: "r")
        }
    }

    private static func lines(_ count: Int) -> String {
        (1...count).map { number in
            let line: JSON = [
                "custom_id": .string("r-\(number)"), "method": "POST", "url": "/v1/chat/completions",
                "body": ["model": "m", "messages": [["role": "user", "content": .string("\(number)")]]],
            ]
            return line.serialized() + "\n"
        }.joined()
    }

    /// A platform on a home for the length of `body`; it ends in order.
    private func withPlatform(
        _ home: String, _ executor: Executor, clock: PlatformClock = .system,
        _ body: (Platform, Principal) async throws -> Void
    ) async throws {
        var configuration = Configuration()
        configuration.enginePath = "/bin/false"
        configuration.backgroundRequests = 4
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let platform = try await Platform.build(home: home, configuration: configuration, logger: logger, clock: clock)
        platform.executor.set(executor)
        let running = Task { try await platform.run() }
        let key = try String(contentsOfFile: home + "/admin.key", encoding: .utf8)
        let admin = try await platform.keys.authenticate(key.trimmingCharacters(in: .whitespacesAndNewlines))
        while !platform.isReady { try await Task.sleep(for: .milliseconds(5)) }
        try await body(platform, admin)
        platform.shutdown()
        try await running.value
    }

    private func withHome(_ body: (String) async throws -> Void) async throws {
        let home = FileManager.default.temporaryDirectory.appendingPathComponent("batch-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: home) }
        try await body(home)
    }

    private func begin(_ platform: Platform, _ text: String, _ principal: Principal) async throws -> String {
        try await create(platform, upload(platform, text, principal), principal)
    }

    private func upload(_ platform: Platform, _ text: String, _ principal: Principal) async throws -> String {
        let incoming = try platform.files.begin(by: principal)
        try incoming.append(Array(text.utf8))
        return try await platform.files.create(incoming, filename: "in.jsonl", purpose: .batch, by: principal).id
    }

    private func create(_ platform: Platform, _ file: String, _ principal: Principal) async throws -> String {
        let request = BatchService.Request(
            inputFile: file, endpoint: "/v1/chat/completions", metadata: nil, fileSeconds: nil)
        return try await platform.batches.create(request, by: principal).batch.id
    }

    /// A batch of 400 lines that a server left when some were answered, and where its file's bytes are.
    private func interrupted(_ home: String, _ executor: Executor) async throws -> (id: String, path: String) {
        var (id, path) = ("", "")
        try await withPlatform(home, executor) { platform, admin in
            let file = try await upload(platform, Self.lines(400), admin)
            path = try await platform.files.content(of: file, by: admin).localPath
            id = try await create(platform, file, admin)
            try await eventually { executor.isDone }
        }
        executor.allow(.max)
        return (id, path)
    }

    private func output(_ platform: Platform, _ id: String?, _ principal: Principal) async throws -> [JSON] {
        let content = try await platform.files.content(of: id ?? "none", by: principal)
        let text = try String(contentsOfFile: content.localPath, encoding: .utf8)
        return try text.split(separator: "\n").map { try JSONParser.parse(String($0)) }
    }

    @Test("J15: a server that stops four times; each line's answer is there once")
    func eachLineOnce() async throws {
        try await withHome { home in
            let executor = Executor()
            var id = ""
            for turn in 0..<5 {
                executor.allow(turn == 4 ? .max : 30)
                try await withPlatform(home, executor) { platform, admin in
                    if turn == 0 { id = try await begin(platform, Self.lines(400), admin) }
                    guard turn == 4 else { return try await eventually { executor.isDone } }
                    try await eventually { try await platform.batches.show(id, by: admin).batch.state.isFinal }
                    let view = try await platform.batches.show(id, by: admin)
                    #expect(view.batch.state == .completed)
                    #expect(view.tally.completed == 400 && view.tally.failed == 0 && view.tally.outputTokens == 1200)
                    let lines = try await output(platform, view.batch.info.outputFile, admin)
                    #expect(lines.compactMap { $0["custom_id"]?.string } == (1...400).map { "r-\($0)" })
                }
            }
            // A line whose answer was stored is never asked again; at most those under way at a stop are.
            let again = executor.answered.values.filter { $0 > 1 }.count
            #expect(again <= 16)
        }
    }

    @Test("J15: what is not done in 24 hours expires, and what is done stays") func expiry() async throws {
        try await withHome { home in
            let day = Mutex(0.0)
            let clock = PlatformClock(
                now: { Date() + day.withLock { $0 } },
                sleep: { duration in
                    let (before, end) = (day.withLock { $0 }, ContinuousClock.now + duration)
                    while ContinuousClock.now + .seconds(day.withLock { $0 } - before) < end {
                        try await Task.sleep(for: .milliseconds(10))
                    }
                })
            let executor = Executor(answers: 20)
            try await withPlatform(home, executor, clock: clock) { platform, admin in
                let id = try await begin(platform, Self.lines(2000), admin)
                try await eventually { try await platform.batches.show(id, by: admin).tally.completed == 20 }
                day.withLock { $0 = 86_401 }
                try await eventually { try await platform.batches.show(id, by: admin).batch.state.isFinal }
                let view = try await platform.batches.show(id, by: admin)
                #expect(view.batch.state == .expired && view.batch.info.times["expired"] != nil)
                #expect(view.tally.completed == 20 && view.tally.failed == 1980)
                let done = try await output(platform, view.batch.info.outputFile, admin)
                let left = try await output(platform, view.batch.info.errorFile, admin)
                #expect(done.count == view.tally.completed && left.count == view.tally.failed)
                #expect(left.allSatisfy { $0["error"]?["code"] == "batch_expired" && $0["response"] == .null })
                #expect(Set((done + left).compactMap { $0["custom_id"]?.string }).count == 2000)
            }
        }
    }

    @Test("A batch whose input file lost its bytes fails with the error's name", arguments: ["gone", "cut"])
    func lostInput(_ loss: String) async throws {
        try await withHome { home in
            let executor = Executor()
            try await withPlatform(home, executor) { platform, admin in
                let file = try await upload(platform, Self.lines(3), admin)
                try Self.lose(try await platform.files.content(of: file, by: admin).localPath, loss)
                let id = try await create(platform, file, admin)
                try await eventually { try await platform.batches.show(id, by: admin).batch.state.isFinal }
                let view = try await platform.batches.show(id, by: admin)
                #expect(view.batch.state == .failed && view.batch.info.times["failed"] != nil)
                let fault = try #require(view.batch.info.errors.first)
                #expect(fault.code == "input_file_lost" && fault.param == "input_file_id")
                #expect(fault.message.contains(file) && fault.message.contains("upload it again"), "\(fault.message)")
                #expect(executor.answered.isEmpty)
            }
        }
    }

    @Test("Lines whose file lost its bytes over a restart fail, and the batch ends") func lostInputOfARunningBatch()
        async throws
    {
        try await withHome { home in
            let executor = Executor(answers: 30)
            let (id, path) = try await interrupted(home, executor)
            try Self.lose(path, "gone")
            try await withPlatform(home, executor) { platform, admin in
                try await eventually { try await platform.batches.show(id, by: admin).batch.state.isFinal }
                let view = try await platform.batches.show(id, by: admin)
                #expect(view.batch.state == .completed)
                #expect(view.tally.completed >= 20 && view.tally.failed > 0)
                #expect(view.tally.completed + view.tally.failed == 400)
                let failed = try await output(platform, view.batch.info.errorFile, admin)
                #expect(failed.allSatisfy { $0["response"]?["body"]?["error"]?["code"] == "input_file_lost" })
            }
        }
    }

    @Test("A file that cannot be opened for a while holds its batch up, and no longer") func unreadableForAWhile()
        async throws
    {
        try await withHome { home in
            let executor = Executor(answers: 30)
            let (id, path) = try await interrupted(home, executor)
            // A link to itself is there and cannot be opened.
            try FileManager.default.moveItem(atPath: path, toPath: home + "/away")
            #expect(symlink(path, path) == 0)
            let before = executor.answered.count
            try await withPlatform(home, executor) { platform, admin in
                try await Task.sleep(for: .milliseconds(400))
                #expect(executor.answered.count == before)
                #expect(rename(home + "/away", path) == 0)
                try await eventually { try await platform.batches.show(id, by: admin).batch.state.isFinal }
                let view = try await platform.batches.show(id, by: admin)
                #expect(view.batch.state == .completed && view.tally.completed == 400 && view.tally.failed == 0)
            }
        }
    }

    private static func lose(_ path: String, _ loss: String) throws {
        if loss == "gone" { return try FileManager.default.removeItem(atPath: path) }
        #expect(chmod(path, 0o600) == 0 && truncate(path, 100) == 0)
    }

    @Test func anEvalsRunGoesOnAndJudgesEachItemOnce() async throws {
        try await withHome { home in
            let executor = Executor()
            var eval = "", run = ""
            for turn in 0..<3 {
                executor.allow(turn == 2 ? .max : 30)
                try await withPlatform(home, executor) { platform, admin in
                    if turn == 0 {
                        (eval, run) = try await beginEval(platform, admin)
                    }
                    guard turn == 2 else { return try await eventually { executor.isDone } }
                    try await eventually {
                        try await platform.evals.showRun(run, of: eval, by: admin).run.state.isFinal
                    }
                    let view = try await platform.evals.showRun(run, of: eval, by: admin)
                    #expect(view.run.state == .completed && view.counts == [.pass: 200])
                    #expect(view.criteria.map(\.passed) == [200] && view.usage.map(\.output) == [600])
                    let (items, hasMore) = try await platform.evals.items(
                        ofRun: run, of: eval, passed: nil, after: nil, limit: 1000, isNewestFirst: false, by: admin)
                    #expect(items.map(\.number) == Array(0..<200) && !hasMore)
                }
            }
            #expect(executor.answered.values.filter { $0 > 1 }.count <= 8)
        }
    }

    private func beginEval(_ platform: Platform, _ principal: Principal) async throws -> (String, String) {
        let eval = try await platform.evals.create(
            name: "e", metadata: nil, dataSourceConfig: ["type": "custom", "item_schema": ["type": "object"]],
            testingCriteria: [
                [
                    "type": "string_check", "name": "same", "operation": "eq", "input": "{{sample.output_text}}",
                    "reference": "answer {{item.n}}",
                ]
            ], by: principal)
        let content = JSON.array((0..<200).map { ["item": ["n": .string("\($0)")]] })
        let run = try await platform.evals.createRun(
            eval.id, name: nil,
            dataSource: [
                "type": "completions", "model": "m", "source": ["type": "file_content", "content": content],
                "input_messages": ["type": "template", "template": [["role": "user", "content": "{{item.n}}"]]],
            ], metadata: nil, by: principal)
        return (eval.id, run.run.id)
    }
}
