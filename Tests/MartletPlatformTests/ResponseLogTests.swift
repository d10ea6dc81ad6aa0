import MartletPlatform
import MartletStore
import Testing

@Suite("The log of a response's events") struct ResponseLogTests {
    @Test func `what is beyond the limit goes, oldest first, and who needs it is told so`() {
        let log = ResponseLog(createdAt: 0, first: 10, byteLimit: 100)
        for number in 0..<9 { log.append(["event-0\(number)"]) }
        #expect(log.first == 10 && log.next == 19)
        for number in 10..<40 { log.append(["event-\(number)"]) }
        #expect(log.next == 49 && log.first > 10 && log.first <= 43)
        #expect(log.read(from: 10) == .lost && log.read(from: log.first - 1) == .lost)
        #expect(log.read(from: 47) == .events(["event-38", "event-39"], next: 49))
        // A large one alone is still told.
        log.append([String(repeating: "x", count: 200)])
        #expect(log.read(from: 49) == .events([String(repeating: "x", count: 200)], next: 50))
        #expect(log.firstEver == 10)
    }

    @Test func `changes are told to all, and end after the last event`() async {
        let log = ResponseLog(createdAt: 0)
        log.append(["a"])
        let changes = log.changes()
        var iterator = changes.makeAsyncIterator()
        #expect(await iterator.next() != nil)
        log.append(["b"])
        #expect(await iterator.next() != nil)
        #expect(log.read(from: 1) == .events(["b"], next: 2) && log.read(from: 2) == .events([], next: 2))
        log.append([])
        #expect(log.next == 2 && !log.hasBegun)
        log.append(["c"])
        #expect(log.hasBegun)
    }
}
