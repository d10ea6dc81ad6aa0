import MartletServing
import MartletWire
import Testing

/// The scheduler as a script: requests come, passes go, tokens are chosen, and the clock stands where we put it.
private struct Script {
    var scheduler: LanguageScheduler
    var pass = LanguageScheduler.Pass()

    init(pages: Int = 64, _ change: (inout LanguageScheduler.Limits) -> Void = { _ in }) {
        var limits = LanguageScheduler.Limits()
        change(&limits)
        scheduler = LanguageScheduler(limits: limits, pageCount: pages)
    }

    mutating func submit(
        _ id: UInt64, _ count: Int, max: Int = 8, n: Int = 1, owner: String = "k", tenant: String = "t",
        first: Int32 = 0, deadline: UInt64? = nil, background: Bool = false
    ) throws {
        try scheduler.submit(
            .init(
                id: id, prompt: (0..<Int32(count)).map { $0 + first }, choiceCount: n, maxTokens: max, tenant: tenant,
                owner: owner, deadline: deadline, isBackground: background))
    }

    /// One pass, computed; each row that is due gets a token. What went through, as "request.choice:start+count".
    @discardableResult
    mutating func step(now: UInt64 = 0, token: Int32 = 9) -> [String] {
        pass = scheduler.next(now: now)
        scheduler.computed()
        for row in pass.rows where row.samples { scheduler.append(token, to: row.id) }
        return rows
    }

    var rows: [String] { pass.rows.map { "\($0.id.request).\($0.id.choice):\($0.start)+\($0.tokens.count)" } }

    /// Every page has exactly the readers that it should: none of two sequences unless it is shared and full.
    func check() {
        var owner: [Int32: (UInt64, Int)] = [:]
        for row in pass.rows {
            let written = row.start / CachePages.size..<CachePages.count(for: row.start + row.tokens.count)
            for page in written.map({ row.pages[$0] }) {
                #expect(owner[page] == nil, "page \(page) is written for two sequences")
                owner[page] = (row.id.request, row.id.choice)
            }
        }
        for row in pass.rows {
            for page in row.pages.prefix(row.start / CachePages.size) {
                #expect(owner[page] == nil, "page \(page) is read and written")
            }
        }
    }
}

@Suite struct LanguageSchedulerTests {
    @Test func promptsAreComputedInPartsBesideAnswers() throws {
        var script = Script {
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
        var script = Script { $0.passTokens = 50 }
        for id: UInt64 in 1...3 { try script.submit(id, 4) }
        #expect(script.step().count == 3)
        script.scheduler.promptTokens = 2
        try script.submit(4, 5)
        #expect(script.step() == ["1.0:4+1", "2.0:4+1", "3.0:4+1", "4.0:0+2"])
        #expect(script.step() == ["1.0:5+1", "2.0:5+1", "3.0:5+1", "4.0:2+2"])
    }

    @Test func aModelThatKeepsNothingForOthersComputesAll() throws {
        var script = Script { $0.sharesPrefixes = false }
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
        var script = Script(pages: 4)
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
        var script = Script()
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
        var script = Script()
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
        var script = Script(pages: 8)
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
        var script = Script(pages: 8) { $0.mixedPassTokens = 200 }
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
        var script = Script(pages: 20) {
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
            script.scheduler.computed()
            for row in script.pass.rows where row.samples {
                left[row.id, default: 0] -= 1
                if left[row.id] == 0 {
                    script.scheduler.finish(row.id)
                } else {
                    script.scheduler.append(Int32(steps), to: row.id)
                }
            }
            if steps == 40 { script.scheduler.cancel(8) }
        }
        #expect(script.scheduler.isIdle)
        #expect(left.filter { $0.key.request != 8 }.values.allSatisfy { $0 == 0 })
        #expect(script.scheduler.pages.availableCount == 20)
        #expect(script.scheduler.waitingCount == 0)
        #expect(script.scheduler.waitingTokens == 0)
    }

    @Test("L02: keys are served by turns") func keysAreServedByTurns() throws {
        var script = Script(pages: 2000) { $0.sequences = 4 }
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
        var script = Script(pages: 2000) {
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
        var script = Script { $0.sequences = 1 }
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
        var script = Script { $0.sequences = 2 }
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
        var script = Script(pages: 10) {
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

    // MARK: Background work

    @Test func backgroundWorkStartsOnlyWhereNobodyWaitsAndHoldsItsShare() throws {
        var script = Script(pages: 2000) {
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
        var script = Script(pages: 2000) {
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
        var script = Script(pages: 8) { $0.backgroundShare = 1 }
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
        var script = Script(pages: 2000) { $0.waiting = 4 }
        try script.submit(1, 16, background: true)
        try script.submit(2, 16, background: true)
        #expect(throws: MartletError.self) { try script.submit(3, 16, background: true) }
        try script.submit(4, 16)
        try script.submit(5, 16)
        #expect(throws: MartletError.self) { try script.submit(6, 16) }
    }

    @Test func manyOfBothKindsAllEnd() throws {
        var script = Script(pages: 20) {
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
            script.scheduler.computed()
            for row in script.pass.rows where row.samples {
                left[row.id, default: 0] -= 1
                if left[row.id] == 0 {
                    script.scheduler.finish(row.id)
                } else {
                    script.scheduler.append(Int32(steps), to: row.id)
                }
            }
        }
        #expect(script.scheduler.isIdle)
        #expect(left.values.allSatisfy { $0 == 0 })
        #expect(script.scheduler.pages.availableCount == 20)
        #expect(script.scheduler.waitingCount == 0)
        #expect(script.scheduler.waitingTokens == 0)
    }
}
