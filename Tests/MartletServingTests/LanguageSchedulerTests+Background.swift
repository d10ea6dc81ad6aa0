import MartletServing
import MartletWire
import Testing

/// Background work beside the rest.
extension LanguageSchedulerTests {
    @Test func backgroundWorkStartsOnlyWhereNobodyWaitsAndHoldsItsShare() throws {
        var script = SchedulerScript(pages: 2000) {
            $0.sequences = 4
            $0.backgroundShare = 0.75
        }
        for id in 1...6 as ClosedRange<UInt64> {
            try script.submit(id, 16, owner: "batch", first: Int32(id) * 100, background: true)
        }
        script.step()
        #expect(script.rows == ["1.0:0+16", "2.0:0+16", "3.0:0+16"])
        try script.submit(10, 16, first: 5000)
        script.step()
        // The free place is enough: nobody is put back.
        #expect(script.rows.first == "10.0:0+16")
        #expect(script.pass.rows.count == 4)
        script.scheduler.finish(.init(request: 1, choice: 0))
        try script.submit(11, 16, first: 6000)
        script.step()
        #expect(script.rows.filter { $0.hasPrefix("1") }.count == 2)
        script.scheduler.finish(.init(request: 10, choice: 0))
        script.scheduler.finish(.init(request: 11, choice: 0))
        script.step()
        #expect(script.scheduler.runningCount == 3)
        script.check()
    }

    @Test func whoComesTakesPlacesFromBackgroundWorkWhichIsComputedAgain() throws {
        var script = SchedulerScript(pages: 2000) {
            $0.sequences = 2
            $0.backgroundShare = 1
        }
        try script.submit(1, 20, owner: "k", first: 100, background: true)
        try script.submit(2, 20, owner: "k", first: 200, background: true)
        script.step()
        script.step()
        #expect(script.rows == ["1.0:20+1", "2.0:20+1"])
        for id in 10...11 as ClosedRange<UInt64> { try script.submit(id, 16, owner: "k", first: Int32(id) * 100) }
        script.step()
        #expect(script.rows == ["10.0:0+16", "11.0:0+16"])
        #expect(script.scheduler.waitingCount == 2)
        script.scheduler.finish(.init(request: 10, choice: 0))
        // The prompt, and the two tokens that were chosen before it had to go, but for the page that is still known.
        script.step()
        #expect(script.rows == ["11.0:16+1", "1.0:16+6"] || script.rows == ["11.0:16+1", "2.0:16+6"])
        script.check()
    }

    @Test func backgroundWorkGivesItsPagesBack() throws {
        var script = SchedulerScript(pages: 8) { $0.backgroundShare = 1 }
        try script.submit(1, 100, max: 20, owner: "batch", background: true)
        script.step()
        try script.submit(2, 60, max: 60, first: 500)
        script.step()
        #expect(script.rows == ["2.0:0+60"])
        for _ in 0..<50 {
            script.step()
            script.check()
            #expect(script.rows == ["2.0:\(script.pass.rows.first?.start ?? -1)+1"])
        }
        script.scheduler.finish(.init(request: 2, choice: 0))
        #expect(script.step().first?.hasPrefix("1.0") == true)
        script.scheduler.finish(.init(request: 1, choice: 0))
        #expect(script.scheduler.pages.availableCount == 8)
        #expect(script.scheduler.waitingTokens == 0)
    }

    @Test func backgroundWorkLeavesHalfOfTheQueue() throws {
        var script = SchedulerScript(pages: 2000) { $0.waiting = 4 }
        try script.submit(1, 16, background: true)
        try script.submit(2, 16, background: true)
        #expect(throws: MartletError.self) { try script.submit(3, 16, background: true) }
        try script.submit(4, 16)
        try script.submit(5, 16)
        #expect(throws: MartletError.self) { try script.submit(6, 16) }
    }

    @Test func manyOfBothKindsAllEnd() throws {
        var script = SchedulerScript(pages: 20) {
            $0.passTokens = 64
            $0.mixedPassTokens = 32
            $0.sequences = 5
        }
        var left: [LanguageScheduler.SequenceID: Int] = [:]
        var steps = 0
        var next: UInt64 = 1
        while next <= 60 || !script.scheduler.isIdle, steps < 10_000 {
            steps += 1
            if next <= 60, steps % 3 == 0 {
                let n = next % 5 == 0 ? 2 : 1
                try script.submit(
                    next, Int(next * 37 % 120) + 1, max: 40, n: n, owner: "k\(next % 3)", first: Int32(next % 5) * 1000,
                    background: next % 2 == 0)
                for choice in 0..<n { left[.init(request: next, choice: choice)] = Int(next * 7 % 38) + 1 }
                next += 1
            }
            script.pass = script.scheduler.next(now: 0)
            script.check()
            #expect(script.pass.rows.count <= 5)
            #expect(script.pass.rows.count { $0.id.request % 2 == 0 } <= 3)
            script.answer(token: Int32(steps), &left)
        }
        #expect(left.values.allSatisfy { $0 == 0 })
        script.checkEnd(pages: 20)
    }
}
