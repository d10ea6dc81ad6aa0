import Foundation
import MartletText
import Testing

/// I09: texts that other tokenizers need minutes for.
@Suite(.serialized) struct TokenizerLinearTests {
    private static func json(_ count: Int) -> String {
        var text = "{"
        var index = 0
        while text.utf8.count < count {
            text += "\"k\(index)\":[\(index),{\"a\":null,\"b\":\"x\(index &* 7)\"}],"
            index += 1
        }
        return text + "}"
    }

    private static let isLong = ProcessInfo.processInfo.environment["MARTLET_TEST_LONG"] == "1"
    static let kinds = isLong ? TokenizerGolden.kinds : ["gpt2", "llama3", "llama2", "bert", "t5"]
    static let texts =
        ["a", "^", " ", "json"] + (isLong ? [" \n", "中", "ABa", "e\u{301}\u{323}", "<s", "\u{2581}"] : [])

    private static func text(_ unit: String, _ count: Int) -> String {
        unit == "json" ? json(count) : String(repeating: unit, count: count / unit.utf8.count)
    }

    /// Seconds that this thread was computing.
    private static func computed(_ work: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        }
        let begun = now()
        try work()
        return now() - begun
    }

    /// The best of some tries. Where other tests share the caches, as in ordinary runs, more than the twelve times that
    /// are asked is let pass; time that grows with the square of the length would be a hundred times.
    @Test("I09: a megabyte takes time linear in its length", arguments: kinds, texts)
    func aMegabyteTakesTimeLinearInItsLength(_ kind: String, _ unit: String) throws {
        let tokenizer = try TokenizerGolden().tokenizer(kind)
        let (small, large) = (Self.text(unit, 100_000), Self.text(unit, 1_000_000))
        let limit = Duration.seconds(Self.isLong ? 1 : 3)
        let clock = ContinuousClock()
        var (tenth, whole, wall) = (100.0, 100.0, Duration.seconds(100))
        for _ in 0..<(Self.isLong ? 12 : 4) {
            // Ten results are kept, so that memory is as new to the small texts as to the large one.
            var kept: [[Int]] = []
            let ten = try Self.computed { for _ in 0..<10 { kept.append(try tokenizer.ids(of: small)) } }
            #expect(kept.count == 10)
            tenth = min(tenth, ten / 10)
            let begun = clock.now
            whole = min(whole, try Self.computed { kept.append(try tokenizer.ids(of: large)) })
            wall = min(wall, clock.now - begun)
            if whole <= tenth * 12, wall < limit { break }
        }
        #expect(whole <= tenth * (Self.isLong ? 12 : 20), "\(whole) s against \(tenth) s")
        #expect(wall < limit)
    }
}
