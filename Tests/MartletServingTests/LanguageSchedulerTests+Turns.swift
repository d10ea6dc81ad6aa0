import MartletServing
import MartletWire
import Testing

/// Who gets the places when there are fewer than are wanted.
extension LanguageSchedulerTests {
    @Test("I03: each choice takes a place, also in the queue") func eachChoiceTakesAPlace() throws {
        var script = SchedulerScript {
            $0.sequences = 3
            $0.waiting = 4
        }
        try script.submit(1, 8, n: 3)
        #expect(script.scheduler.waitingCount == 3)
        #expect(throws: MartletError.self) { try script.submit(2, 8, n: 2, first: 500) }
        try script.submit(3, 8, first: 900)
        script.step()
        script.step()
        #expect(script.pass.rows.count == 3 && script.scheduler.waitingCount == 1)
        script.scheduler.finish(script.pass.rows[0].id)
        script.step()
        #expect(script.pass.rows.count == 3 && script.scheduler.waitingCount == 0)
    }

    /// Counted in passes, which hang on no machine.
    @Test("L02: ten keys beside one with 1,000 requests take at most twice the passes that they take alone")
    func tenKeysBesideAThousandRequestsTakeAtMostTwiceTheirPasses() throws {
        let (alone, beside) = (try Self.passesOfTenKeys(crowd: 0), try Self.passesOfTenKeys(crowd: 1000))
        #expect(alone.count >= 50 && beside.count >= 50)
        let (most, least) = (try #require(beside.max()), try #require(alone.max()))
        #expect(most <= 2 * least, "\(most) passes, alone \(least)")
    }

    /// Passes from a question to its answer's end: ten keys ask one after another, each again and again, while one more
    /// has `crowd` requests open at all times.
    private static func passesOfTenKeys(crowd: Int) throws -> [Int] {
        var script = SchedulerScript(pages: 4000)
        var left: [LanguageScheduler.SequenceID: Int] = [:]
        var asked: [LanguageScheduler.SequenceID: (owner: String, pass: Int)] = [:]
        var found: [Int] = []
        func ask(_ owner: String, _ pass: Int) throws {
            let number = asked.count + 1
            let id = LanguageScheduler.SequenceID(request: UInt64(number), choice: 0)
            let isOfCrowd = owner == "crowd"
            try script.submit(
                id.request, isOfCrowd ? 16 + number * 7 % 40 : 32, max: 60, owner: owner, first: Int32(number) * 200)
            left[id] = isOfCrowd ? 10 + number * 13 % 40 : 30
            asked[id] = (owner, pass)
        }
        for _ in 0..<crowd { try ask("crowd", 0) }
        for pass in 1...1000 where found.count < 50 {
            // The crowd has all places by then.
            if pass == 40 { for key in 0..<10 { try ask("key-\(key)", pass) } }
            script.pass = script.scheduler.next(now: 0)
            script.answer(token: Int32(pass), &left)
            for (id, count) in left.sorted(by: { $0.key.request < $1.key.request }) where count == 0 {
                left[id] = nil
                let (owner, begun) = try #require(asked[id])
                if owner != "crowd" { found.append(pass - begun + 1) }
                try ask(owner, pass + 1)
            }
        }
        return found
    }
}
