import Foundation
import MartletServing
import MartletTesting
import MartletWire
import Synchronization
import Testing

/// Which waiting requests go through the model together, as scripts.
@Suite struct BatcherTests {
    private static func entry(_ item: String, _ rows: Int = 1, by deadline: UInt64? = nil) -> Batcher<String>.Entry {
        .init(item: item, rows: rows, deadline: deadline, arrived: 0)
    }

    private static func accept(_ batcher: inout Batcher<String>, _ entry: Batcher<String>.Entry) -> Bool {
        batcher.accept(entry)
    }

    /// The items of the next pass and of those that expired.
    private static func next(_ batcher: inout Batcher<String>, at now: UInt64 = 0) -> [[String]] {
        let (batch, expired) = batcher.next(now: now)
        return [batch.map(\.item), expired.map(\.item)]
    }

    @Test func `requests go in order, as many as fit`() {
        var batcher = Batcher<String>(maxRows: 4, queueLimit: 10)
        for (item, rows) in [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 4), ("f", 1)] {
            #expect(Self.accept(&batcher, Self.entry(item, rows)))
        }
        #expect(Self.next(&batcher) == [["a", "b", "c"], []])
        // The one that does not fit waits; nobody overtakes it.
        #expect(Self.next(&batcher) == [["d"], []])
        #expect(Self.accept(&batcher, Self.entry("g")))
        #expect(Self.next(&batcher) == [["e"], []])
        #expect(Self.next(&batcher) == [["f", "g"], []])
        #expect(batcher.count == 0)
        #expect(Self.next(&batcher) == [[], []])
    }

    @Test func `one larger than a pass goes alone`() {
        var batcher = Batcher<String>(maxRows: 4, queueLimit: 10)
        for (item, rows) in [("a", 1), ("large", 100), ("b", 1)] {
            #expect(Self.accept(&batcher, Self.entry(item, rows)))
        }
        #expect(Self.next(&batcher) == [["a"], []])
        #expect(Self.next(&batcher) == [["large"], []])
        #expect(Self.next(&batcher) == [["b"], []])
    }

    @Test func `what waited past its deadline is not started and blocks nobody`() {
        var batcher = Batcher<String>(maxRows: 2, queueLimit: 10)
        for (item, deadline) in [("late", 10), ("late too", 20), ("a", 100), ("b", nil), ("c", 15)]
            as [(String, UInt64?)]
        {
            #expect(Self.accept(&batcher, Self.entry(item, by: deadline)))
        }
        #expect(Self.next(&batcher, at: 20) == [["a", "b"], ["late", "late too", "c"]])
        #expect(batcher.count == 0)
    }

    @Test func `a large one that is late lets the next pass`() {
        var batcher = Batcher<String>(maxRows: 2, queueLimit: 10)
        for entry in [Self.entry("large", 50, by: 5), Self.entry("a"), Self.entry("b")] {
            #expect(Self.accept(&batcher, entry))
        }
        #expect(Self.next(&batcher, at: 6) == [["a", "b"], ["large"]])
    }

    @Test func `the queue is bounded and has room again`() {
        var batcher = Batcher<String>(maxRows: 1, queueLimit: 2)
        #expect(Self.accept(&batcher, Self.entry("a")))
        #expect(Self.accept(&batcher, Self.entry("b")))
        #expect(!Self.accept(&batcher, Self.entry("c")))
        #expect(batcher.count == 2)
        #expect(Self.next(&batcher) == [["a"], []])
        #expect(Self.accept(&batcher, Self.entry("d")))
        #expect(Self.next(&batcher) == [["b"], []])
        #expect(Self.next(&batcher) == [["d"], []])
    }

    @Test func `a long run keeps its order and its bound`() {
        var batcher = Batcher<String>(maxRows: 3, queueLimit: 5_000)
        var taken: [String] = []
        for index in 0..<20_000 {
            #expect(Self.accept(&batcher, Self.entry("\(index)")))
            if index % 3 == 2, index > 4_000 { taken += Self.next(&batcher)[0] }
        }
        while batcher.count > 0 { taken += Self.next(&batcher)[0] }
        #expect(taken == (0..<20_000).map(String.init))
    }

    @Test func `what is late is taken out of the middle, and the next deadline is known`() {
        var batcher = Batcher<String>(maxRows: 1, queueLimit: 10)
        for (item, deadline) in [("a", nil), ("b", 10), ("c", 30), ("d", 10), ("e", 20)] as [(String, UInt64?)] {
            #expect(Self.accept(&batcher, Self.entry(item, by: deadline)))
        }
        #expect(Self.next(&batcher, at: 1) == [["a"], []])
        #expect(batcher.nextDeadline == 10)
        let early = batcher.expire(now: 9)
        #expect(early.isEmpty && batcher.count == 4)
        let late = batcher.expire(now: 10).map(\.item)
        #expect(late == ["b", "d"])
        #expect(batcher.nextDeadline == 20 && batcher.count == 2)
        #expect(Self.next(&batcher, at: 11) == [["c"], []])
        #expect(Self.next(&batcher, at: 20) == [[], ["e"]])
        #expect(batcher.nextDeadline == nil && batcher.count == 0)
    }

    @Test func `what has no rows can be taken before its turn`() {
        var batcher = Batcher<String>(maxRows: 1, queueLimit: 2)
        for (item, rows) in [("a", 1), ("b", 1), ("sign", 0), ("of life", 0)] {
            #expect(Self.accept(&batcher, Self.entry(item, rows)))
        }
        #expect(Self.next(&batcher) == [["a"], []])
        let found = batcher.takeRowless().map(\.item)
        let none = batcher.takeRowless()
        #expect(found == ["sign", "of life"] && none.isEmpty && batcher.count == 1)
        #expect(Self.next(&batcher) == [["b"], []])
    }

    @Test func `a request that was taken is not kept`() {
        final class Body: Sendable {}
        var batcher = Batcher<Body>(maxRows: 1, queueLimit: 10)
        weak var first: Body?
        do {
            let body = Body()
            first = body
            _ = batcher.accept(.init(item: body, rows: 1, deadline: nil, arrived: 0))
        }
        _ = batcher.accept(.init(item: Body(), rows: 1, deadline: nil, arrived: 0))
        #expect(first != nil)
        _ = batcher.next(now: 0)
        #expect(first == nil && batcher.count == 1)
    }
}

/// The queue between the readers and the model.
@Suite struct QueueTests {
    private static func row() throws -> String { Models.inputs([try Models.mixed.get().held[0]]) }

    @Test func `one past its deadline is told so, not computed, and its neighbours are answered`() throws {
        let model = try Models.mixed.get()
        let good = Request.infer("{\"inputs\":[\(try Self.row())]}")
        let answers = try model.ask([
            good.by(microseconds: 0), good, good.by(microseconds: -5), good.by(microseconds: 60_000_000),
            good.by(microseconds: Int.max),
        ])
        for index in [0, 2] { expectFault(.deadlineExceeded, ["deadline"]) { _ = try answers[index].get() } }
        for index in [1, 3, 4] { #expect(try answers[index].get().output("label").count == 1) }
    }

    @Test func `a full queue is refused at once with what to do`() throws {
        let model = try Models.mixed.get()
        let good = Request.infer("{\"inputs\":[\(try Self.row())]}")
        let server = model.server(queueLimit: 2)
        let answers = Answers(4)
        for index in 0..<4 { server.handle(good.request, body: good.body) { answers.put($0, index) } }
        #expect((0..<4).map(answers.isAnswered) == [false, false, true, true])
        try model.work(server)
        let all = try answers.all()
        #expect(try all[0].get().reply.rows == 1 && all[1].get().reply.rows == 1)
        expectFault(.unavailable, ["测试", "2 requests waiting", "try again"]) { _ = try all[3].get() }
    }

    @Test func `a stuck model does not look alive because its queue is full`() throws {
        let model = try Models.mixed.get()
        let good = Request.infer("{\"inputs\":[\(try Self.row())]}")
        let server = model.server(queueLimit: 1)
        let answers = Answers(1)
        server.handle(good.request, body: good.body) { answers.put($0, 0) }
        let pong = Mutex(false)
        server.ping { pong.withLock { $0 = true } }
        #expect(!pong.withLock { $0 })
        try model.work(server)
        #expect(pong.withLock { $0 })
        _ = try answers.all()
    }

    @Test func `what was accepted before the end is answered, what comes after is refused`() throws {
        let model = try Models.mixed.get()
        let good = Request.infer("{\"inputs\":[\(try Self.row())]}")
        let server = model.server()
        let answers = Answers(2)
        server.handle(good.request, body: good.body) { answers.put($0, 0) }
        server.drain()
        server.handle(good.request, body: good.body) { answers.put($0, 1) }
        try model.work(server)
        let all = try answers.all()
        #expect(try all[0].get().reply.rows == 1)
        expectFault(.unavailable, []) { _ = try all[1].get() }
    }

    @Test func `many callers at once each get their own row's answer`() throws {
        let model = try Models.mixed.get()
        let requests = model.held.map { Request.infer("{\"inputs\":[\(Models.inputs([$0]))]}") }
        let wanted = try model.ask(.infer("{\"inputs\":[\(Models.inputs(model.held))]}")).output("label")
        let server = model.server(maxBatch: 16)
        let answers = Answers(requests.count * 8)
        let all = DispatchGroup()
        let worker = DispatchGroup()
        worker.enter()
        Thread.detachNewThread {
            model.serve(server)
            worker.leave()
        }
        for caller in 0..<8 {
            all.enter()
            Thread.detachNewThread {
                for (index, request) in requests.enumerated() {
                    all.enter()
                    server.handle(request.request, body: request.body) {
                        answers.put($0, caller * requests.count + index)
                        all.leave()
                    }
                }
                all.leave()
            }
        }
        #expect(all.wait(timeout: .now() + 60) == .success)
        server.drain()
        #expect(worker.wait(timeout: .now() + 60) == .success)
        for (index, answer) in try answers.all().enumerated() {
            #expect(try answer.get().output("label") == [wanted[index % requests.count]])
        }
    }
}
