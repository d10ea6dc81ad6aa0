import MartletServing
import Testing

/// The scheduler as a script: requests come, passes go, tokens are chosen, and the clock stands where we put it.
struct SchedulerScript {
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

    /// The pass is computed, and each row that is due gets a token or, where its sequence has none left, ends.
    mutating func answer(token: Int32, _ left: inout [LanguageScheduler.SequenceID: Int]) {
        scheduler.computed()
        for row in pass.rows where row.samples {
            left[row.id, default: 0] -= 1
            if left[row.id] == 0 {
                scheduler.finish(row.id)
            } else {
                scheduler.append(token, to: row.id)
            }
        }
    }

    /// Nothing waits or holds a page.
    func checkEnd(pages: Int) {
        #expect(scheduler.isIdle)
        #expect(scheduler.pages.availableCount == pages)
        #expect(scheduler.waitingCount == 0)
        #expect(scheduler.waitingTokens == 0)
    }
}
