import MartletServing
import Testing

/// How many tokens of prompts a pass takes, by what passes took.
@Suite struct PassPaceTests {
    @Test func aPassTakesAPartOfASecond() {
        var pace = PassPace()
        #expect(pace.promptTokens == nil)
        // One token takes as long as the weights do.
        pace.note(tokens: 1, nanoseconds: 900_000_000)
        #expect(pace.promptTokens == nil)
        pace.note(tokens: 500, nanoseconds: 5_000_000_000)
        #expect(pace.promptTokens == 50)
        for _ in 0..<30 { pace.note(tokens: 50, nanoseconds: 50_000_000) }
        #expect((499...500).contains(pace.promptTokens ?? 0))
        pace.note(tokens: 512, nanoseconds: .max)
        #expect(pace.promptTokens == 32)
        var quick = PassPace()
        quick.note(tokens: 512, nanoseconds: 0)
        #expect((quick.promptTokens ?? 0) > 1_000_000)
    }
}
