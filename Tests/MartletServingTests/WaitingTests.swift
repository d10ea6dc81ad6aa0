import Foundation
import MartletServing
import MartletTesting
import MartletWire
import Testing

/// What happens to requests that wait for a model.
@Suite struct WaitingTests {
    @Test("L06: a request that waits is told at its deadline, whatever is computed")
    func aRequestThatWaitsIsToldAtItsDeadline() throws {
        let model = try Models.mixed.get()
        // Nobody computes yet.
        let server = model.server()
        let body = Array("{\"inputs\":[\(Models.inputs([model.held[0]]))]}".utf8)
        let answers = Answers(3)
        for (index, deadline) in [600_000_000, 50_000, nil].enumerated() {
            server.handle(InferenceRequest(api: .openInference, deadlineMicroseconds: deadline), body: body) {
                answers.put($0, index)
            }
        }
        let begun = ContinuousClock.now
        // Its thread is not given back: tests that compute may keep it for a minute.
        while !answers.isAnswered(1), begun.duration(to: .now) < .seconds(120) { Thread.sleep(forTimeInterval: 0.005) }
        #expect(answers.isAnswered(1) && !answers.isAnswered(0) && !answers.isAnswered(2))
        try model.work(server)
        let all = try answers.all()
        expectFault(.deadlineExceeded, ["deadline"]) { _ = try all[1].get() }
        #expect(throws: Never.self) { try all[0].get() }
        #expect(throws: Never.self) { try all[2].get() }
    }

    @Test("L01: what there is no room for is not read")
    func whatThereIsNoRoomForIsNotRead() throws {
        let model = try Models.mixed.get()
        let server = model.server(queueLimit: 1)
        let body = Array("{\"inputs\":[\(Models.inputs([model.held[0]]))]}".utf8)
        let answers = Answers(3)
        server.handle(InferenceRequest(api: .openInference), body: body) { answers.put($0, 0) }
        server.handle(InferenceRequest(api: .openInference), body: Array("broken".utf8)) { answers.put($0, 1) }
        try model.work(server)
        server.handle(InferenceRequest(api: .openInference), body: Array("broken".utf8)) { answers.put($0, 2) }
        let all = try answers.all()
        #expect(throws: Never.self) { try all[0].get() }
        expectFault(.unavailable, ["1 requests waiting"]) { _ = try all[1].get() }
        expectFault(.unavailable, ["out of service"]) { _ = try all[2].get() }
    }

    @Test func aLargeRequestGivesWhatItsRowsGive() throws {
        let model = try Models.mixed.get()
        let rows = (0..<700).map { model.held[$0 % model.held.count] }
        let form = { (rows: [[String]]) in Request.infer("{\"inputs\":[\(Models.inputs(rows))]}") }
        let few = try JSONParser.parse(model.ask(form(model.held)).body)["outputs"]?.array ?? []
        let many = try JSONParser.parse(model.ask(form(rows)).body)["outputs"]?.array ?? []
        #expect(few.count == many.count && !few.isEmpty)
        for (one, all) in zip(few, many) {
            let (one, all) = (one["data"]?.array ?? [], all["data"]?.array ?? [])
            try #require(!one.isEmpty && all.count * model.held.count == one.count * rows.count)
            for (index, value) in all.enumerated() {
                let wanted = one[index % one.count]
                if let number = value.double, let expected = wanted.double {
                    #expect(abs(number - expected) <= 1e-5 + 1e-4 * abs(expected), "value \(index)")
                } else {
                    #expect(value == wanted, "value \(index)")
                }
            }
        }
    }

    @Test func anOutputIsAskedForOnce() throws {
        let model = try Models.mixed.get()
        let name = try #require(model.preprocessing.signature.outputs.first?.name)
        let wishes = [name, name].map { "{\"name\":\"\($0)\"}" }.joined(separator: ",")
        expectFault(.invalidRequest, [name, "twice"]) {
            _ = try model.ask(.infer("{\"inputs\":[\(Models.inputs([model.held[0]]))],\"outputs\":[\(wishes)]}"))
        }
    }
}
