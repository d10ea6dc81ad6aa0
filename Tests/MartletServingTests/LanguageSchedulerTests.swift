import MartletServing
import MartletWire
import Testing

@Suite struct LanguageSchedulerTests {
    @Test func promptsAreComputedInPartsBesideAnswers() throws {
        var script = SchedulerScript {
            $0.passTokens = 50
            $0.mixedPassTokens = 20
        }
        try script.submit(1, 30)
        #expect(script.step() == ["1.0:0+30"])
        try script.submit(2, 45, first: 100)
        #expect(script.step() == ["1.0:30+1", "2.0:0+20"])
        #expect(script.step() == ["1.0:31+1", "2.0:20+20"])
        #expect(script.step() == ["1.0:32+1", "2.0:40+5"])
        #expect(script.pass.rows.map(\.samples) == [true, true])
        #expect(script.step() == ["1.0:33+1", "2.0:45+1"])
        script.scheduler.finish(.init(request: 1, choice: 0))
        #expect(script.step() == ["2.0:46+1"])
        script.scheduler.finish(.init(request: 2, choice: 0))
        #expect(script.step().isEmpty)
        #expect(script.scheduler.isIdle)
        #expect(script.scheduler.pages.availableCount == 64)
    }

    @Test func aSlowModelTakesSmallerPartsOfPromptsAndAllAnswers() throws {
        var script = SchedulerScript { $0.passTokens = 50 }
        for id: UInt64 in 1...3 { try script.submit(id, 4) }
        #expect(script.step().count == 3)
        script.scheduler.promptTokens = 2
        try script.submit(4, 5)
        #expect(script.step() == ["1.0:4+1", "2.0:4+1", "3.0:4+1", "4.0:0+2"])
        #expect(script.step() == ["1.0:5+1", "2.0:5+1", "3.0:5+1", "4.0:2+2"])
    }

    @Test func aModelThatKeepsNothingForOthersComputesAll() throws {
        var script = SchedulerScript { $0.sharesPrefixes = false }
        try script.submit(1, 40, n: 2)
        try script.submit(2, 40)
        #expect(script.step() == ["1.0:0+40", "2.0:0+40"])
        #expect(script.step() == ["1.0:40+1", "2.0:40+1", "1.1:0+40"])
        #expect(Set(script.pass.rows.flatMap(\.pages)).count == script.pass.rows.reduce(0) { $0 + $1.pages.count })
        for (request, choice) in [(1, 0), (1, 1), (2, 0)] as [(UInt64, Int)] {
            script.scheduler.finish(.init(request: request, choice: choice))
        }
        try script.submit(3, 40)
        #expect(script.step() == ["3.0:0+40"])
        script.scheduler.cancel(3)
        #expect(script.scheduler.pages.availableCount == 64)
    }

    @Test func whoGaveItsPagesBackIsNamed() throws {
        var script = SchedulerScript(pages: 4)
        try script.submit(1, 16, max: 40)
        try script.submit(2, 30, max: 30)
        #expect(script.step() == ["1.0:0+16", "2.0:0+30"])
        #expect(script.pass.preempted.isEmpty)
        var named: [LanguageScheduler.SequenceID] = []
        for _ in 0..<20 {
            script.step()
            named += script.pass.preempted
        }
        #expect(named == [.init(request: 2, choice: 0)])
    }

    @Test func choicesReadTheSamePages() throws {
        var script = SchedulerScript()
        try script.submit(1, 40, n: 3)
        #expect(script.scheduler.waitingCount == 3)
        #expect(script.step() == ["1.0:0+40"])
        #expect(script.step() == ["1.0:40+1", "1.1:32+8", "1.2:32+8"])
        #expect(Set(script.pass.rows.map { Array($0.pages.prefix(2)) }).count == 1)
        #expect(Set(script.pass.rows.map { $0.pages[2] }).count == 3)
        script.check()
        #expect(script.scheduler.pages.availableCount == 64 - 5)
        for choice in 0..<3 { script.scheduler.finish(.init(request: 1, choice: choice)) }
        #expect(script.scheduler.isIdle)
        #expect(script.scheduler.waitingCount == 0)
        #expect(script.scheduler.pages.availableCount == 64)
    }

    @Test("L11: a beginning is read again by its tenant alone") func aBeginningIsReadAgainByItsTenantAlone() throws {
        var script = SchedulerScript()
        try script.submit(1, 40)
        script.step()
        script.scheduler.finish(.init(request: 1, choice: 0))
        try script.submit(2, 48)
        #expect(script.step() == ["2.0:32+16"])
        #expect(script.pass.rows[0].cachedTokens == 32)
        try script.submit(3, 48, tenant: "u")
        #expect(script.step() == ["2.0:48+1", "3.0:0+48"])
        // The whole prompt is known, but its last token is computed: its result chooses the next.
        try script.submit(4, 48)
        #expect(script.step() == ["2.0:49+1", "3.0:48+1", "4.0:32+16"])
        script.check()
    }

    @Test func theLongestUnreadPageGoesFirst() throws {
        var script = SchedulerScript(pages: 8)
        for (id, first) in [(1, 0), (2, 1000)] as [(UInt64, Int32)] {
            try script.submit(id, 48, first: first)
            script.step()
            script.scheduler.finish(.init(request: id, choice: 0))
        }
        try script.submit(3, 60, first: 2000)
        #expect(script.step() == ["3.0:0+60"])
        script.scheduler.finish(.init(request: 3, choice: 0))
        try script.submit(4, 49, first: 1000)
        #expect(script.step() == ["4.0:48+1"])
        script.scheduler.finish(.init(request: 4, choice: 0))
        try script.submit(5, 48)
        #expect(script.step() == ["5.0:16+32"] || script.step() == ["5.0:0+48"])
    }

    @Test func whereThePagesEndTheYoungestIsComputedAgain() throws {
        var script = SchedulerScript(pages: 8) { $0.mixedPassTokens = 200 }
        try script.submit(1, 60, max: 60)
        try script.submit(2, 60, max: 60, first: 500)
        #expect(script.step() == ["1.0:0+60", "2.0:0+60"])
        var preempted = false
        for _ in 0..<20 {
            script.step()
            script.check()
            preempted = preempted || !script.rows.contains { $0.hasPrefix("2.0") }
        }
        #expect(preempted)
        #expect(script.rows.contains { $0.hasPrefix("1.0") })
        script.scheduler.finish(.init(request: 1, choice: 0))
        // Its prompt and the tokens that it chose before come through once more.
        let again = script.step()
        #expect(again.count == 1 && again[0].hasPrefix("2.0"))
        let row = script.pass.rows[0]
        #expect(row.start + row.tokens.count > 60)
        #expect(row.samples)
        script.scheduler.finish(.init(request: 2, choice: 0))
        #expect(script.scheduler.pages.availableCount == 8)
    }

    @Test func manySequencesInFewPagesAllEnd() throws {
        var script = SchedulerScript(pages: 20) {
            $0.passTokens = 64
            $0.mixedPassTokens = 32
            $0.sequences = 7
        }
        var left: [LanguageScheduler.SequenceID: Int] = [:]
        for id in 1...30 as ClosedRange<UInt64> {
            let n = id % 4 == 0 ? 3 : 1
            try script.submit(
                id, Int(id * 37 % 120) + 1, max: 40, n: n, owner: "k\(id % 3)", first: Int32(id % 5) * 1000)
            for choice in 0..<n { left[.init(request: id, choice: choice)] = Int(id * 7 % 38) + 1 }
        }
        var steps = 0
        while !script.scheduler.isIdle, steps < 5000 {
            steps += 1
            script.pass = script.scheduler.next(now: 0)
            script.check()
            #expect(script.pass.rows.reduce(0) { $0 + $1.tokens.count } <= 64)
            #expect(script.pass.rows.count <= 7)
            #expect(!script.pass.rows.isEmpty)
            script.answer(token: Int32(steps), &left)
            if steps == 40 { script.scheduler.cancel(8) }
        }
        #expect(left.filter { $0.key.request != 8 }.values.allSatisfy { $0 == 0 })
        script.checkEnd(pages: 20)
    }

    @Test("L02: keys are served by turns") func keysAreServedByTurns() throws {
        var script = SchedulerScript(pages: 2000) { $0.sequences = 4 }
        for id in 1...40 as ClosedRange<UInt64> { try script.submit(id, 16, owner: "heavy", first: Int32(id) * 100) }
        script.step()
        script.step()
        try script.submit(100, 16, owner: "light", first: 9000)
        script.step()
        // All places are the heavy key's; it gives one back at once.
        #expect(script.rows.contains { $0.hasPrefix("100.") })
        #expect(script.pass.rows.count == 4)
    }

    @Test("L02: a key that comes back gains nothing by its pause") func aKeyThatComesBackGainsNothingByItsPause() throws
    {
        var script = SchedulerScript(pages: 2000) {
            $0.sequences = 1
            $0.answerWeight = 1
        }
        try script.submit(1, 160, owner: "a")
        script.step()
        script.scheduler.finish(.init(request: 1, choice: 0))
        // b was idle all the time; it starts level with a, which has work.
        try script.submit(2, 16, owner: "a", first: 1000)
        try script.submit(3, 16, owner: "b", first: 2000)
        try script.submit(4, 16, owner: "b", first: 3000)
        var order: [UInt64] = []
        for _ in 0..<3 {
            script.step()
            guard let row = script.pass.rows.first else { break }
            order.append(row.id.request)
            script.scheduler.finish(row.id)
        }
        #expect(order != [3, 4, 2])
    }

    @Test func aDeadlineIsKeptByThoseWhoWaitAndThoseWhoRun() throws {
        var script = SchedulerScript { $0.sequences = 1 }
        try script.submit(1, 16, deadline: 100)
        script.step(now: 10)
        try script.submit(2, 16, deadline: 50)
        try script.submit(3, 16)
        #expect(script.step(now: 50) == ["1.0:16+1"])
        #expect(script.pass.expired == [2])
        #expect(script.step(now: 100) == ["3.0:0+16"])
        #expect(script.pass.expired == [1])
    }

    @Test("L03: a cancelled request is gone from the next pass") func aCancelledRequestIsGoneFromTheNextPass() throws {
        var script = SchedulerScript { $0.sequences = 2 }
        try script.submit(1, 40, n: 2)
        try script.submit(2, 20, first: 100)
        script.step()
        script.step()
        script.scheduler.cancel(1)
        #expect(script.scheduler.runningCount == 1)
        #expect(script.step().allSatisfy { $0.hasPrefix("2.0") })
        script.scheduler.cancel(2)
        script.scheduler.cancel(2)
        #expect(script.scheduler.isIdle)
        #expect(script.scheduler.pages.availableCount == 64)
        #expect(script.scheduler.waitingCount == 0)
        #expect(script.scheduler.waitingTokens == 0)
    }

    @Test func limitsAreToldApart() throws {
        var script = SchedulerScript(pages: 10) {
            $0.waiting = 4
            $0.waitingPerOwner = 3
            $0.waitingTokens = 100
        }
        func code(_ id: UInt64, _ count: Int, max: Int = 8, n: Int = 1, owner: String) -> MartletError.Code? {
            do {
                try script.submit(id, count, max: max, n: n, owner: owner)
                return nil
            } catch {
                return (error as? MartletError)?.code
            }
        }
        #expect(code(1, 100, max: 61, owner: "a") == .contextLengthExceeded)
        #expect(code(2, 10, n: 4, owner: "a") == .rateLimited)
        #expect(code(3, 10, n: 3, owner: "a") == nil)
        #expect(code(4, 10, owner: "a") == .rateLimited)
        #expect(code(5, 10, n: 2, owner: "b") == .unavailable)
        #expect(code(6, 95, owner: "b") == .unavailable)
        #expect(code(7, 10, owner: "b") == nil)
    }
}
