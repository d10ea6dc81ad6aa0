import Foundation
import MartletServing
import MartletWire
import Testing

@Suite struct LanguageSamplerTests {
    private static let logits: [Float] = [1, 3, 0, 2.5, -1, 2, -4, 1.5] + (0..<40).map { Float($0 % 7) * 0.3 - 3 }

    private static func settings(_ change: (inout SamplingSettings) -> Void) -> SamplingSettings {
        var settings = SamplingSettings()
        settings.seed = 42
        change(&settings)
        return settings
    }

    /// Tokens of many draws from one row.
    private static func draws(
        _ count: Int, _ logits: [Float] = logits, mask: [UInt64]? = nil, _ change: (inout SamplingSettings) -> Void
    ) throws -> [Int] {
        let sampler = Sampler()
        var state = SamplerState(settings(change), prompt: [1], choice: 0)
        return try (0..<count).map { _ in
            var row = logits
            return try row.withUnsafeMutableBufferPointer { try sampler.choose($0, &state, mask: mask).token }
        }
    }

    private static func softmax(_ logits: [Float], _ temperature: Double = 1) -> [Double] {
        let top = Double(logits.max() ?? 0)
        let weights = logits.map { exp((Double($0) - top) / temperature) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    /// Holds draws against a distribution: every chance within five standard deviations.
    private static func expect(_ draws: [Int], follow chances: [Double], _ comment: Comment) {
        var counts = Array(repeating: 0, count: chances.count)
        for token in draws { counts[token] += 1 }
        let n = Double(draws.count)
        for (count, chance) in zip(counts, chances) {
            let deviation = (n * chance * (1 - chance)).squareRoot()
            #expect(abs(Double(count) - n * chance) <= 5 * deviation + 1e-9, comment)
        }
    }

    private static func kept(_ chances: [Double], _ keep: (Int) -> Bool) -> [Double] {
        let left = chances.enumerated().map { keep($0.offset) ? $0.element : 0 }
        let sum = left.reduce(0, +)
        return left.map { $0 / sum }
    }

    @Test func drawsFollowTheDistributionAskedFor() throws {
        let chances = Self.softmax(Self.logits)
        let order = chances.indices.sorted { (chances[$1], $0) < (chances[$0], $1) }
        Self.expect(try Self.draws(20_000) { _ in }, follow: chances, "plain")
        Self.expect(
            try Self.draws(20_000) { $0.temperature = 1.7 }, follow: Self.softmax(Self.logits, 1.7), "temperature")
        let three = Set(order.prefix(3))
        Self.expect(
            try Self.draws(20_000) { $0.topK = 3 }, follow: Self.kept(chances) { three.contains($0) }, "top-k")
        var nucleus: Set<Int> = []
        var sum = 0.0
        for place in order where sum < 0.8 {
            nucleus.insert(place)
            sum += chances[place]
        }
        Self.expect(
            try Self.draws(20_000) { $0.topP = 0.8 }, follow: Self.kept(chances) { nucleus.contains($0) }, "top-p")
        let bound = 0.2 * (chances.max() ?? 0)
        Self.expect(
            try Self.draws(20_000) { $0.minP = 0.2 }, follow: Self.kept(chances) { chances[$0] >= bound }, "min-p")
        let mask: [UInt64] = [0b1010_1001]
        Self.expect(
            try Self.draws(20_000, mask: mask) { _ in },
            follow: Self.kept(chances) { mask[0] >> UInt64($0) & 1 == 1 }, "mask")
        Self.expect(
            try Self.draws(20_000) { $0.logitBias = [(4, 3)] },
            follow: Self.softmax(Self.logits.enumerated().map { $0.offset == 4 ? $0.element + 3 : $0.element }), "bias")
    }

    @Test func edgesGiveTheLikeliestToken() throws {
        for change: (inout SamplingSettings) -> Void in [
            { $0.temperature = 0 }, { $0.temperature = 1e-30 }, { $0.topK = 1 }, { $0.topP = 0 }, { $0.topP = 1e-9 },
            { $0.minP = 1 },
        ] {
            #expect(Set(try Self.draws(50, Self.logits, mask: nil, change)) == [1])
        }
        // Everything off is the same as the plain distribution, and a flat row of many tokens stays whole.
        #expect(
            try Self.draws(500) {
                $0.topK = 1_000_000
                $0.topP = 1
            } == Self.draws(500) { _ in })
        let flat = Array(repeating: Float(0.5), count: 5_000)
        #expect(Set(try Self.draws(2_000, flat) { $0.topP = 0.5 }).allSatisfy { $0 < 2_500 })
        #expect(Set(try Self.draws(2_000, flat) { $0.topK = 10 }).allSatisfy { $0 < 10 })
        #expect(Set(try Self.draws(2_000, flat) { _ in }).count > 1_500)
    }

    @Test func penaltiesFallOnWhatWasSaid() throws {
        #expect(
            try Self.draws(5) {
                $0.temperature = 0
                $0.presencePenalty = 2
            } == [1, 3, 5, 7, 0])
        #expect(
            try Self.draws(4) {
                $0.temperature = 0
                $0.frequencyPenalty = 0.3
            } == [1, 1, 3, 1])
        // Token 1 is in the prompt: its logit 3 counts as 1.5.
        #expect(
            try Self.draws(3) {
                $0.temperature = 0
                $0.repetitionPenalty = 2
            } == [3, 5, 1])
    }

    @Test func anEndMayNotComeTooEarly() throws {
        #expect(
            try Self.draws(4) {
                $0.temperature = 0
                $0.minTokens = 3
                $0.endTokens = [1]
            } == [3, 3, 3, 1])
    }

    @Test func theSameSeedGivesTheSameTokensAndChoicesDiffer() throws {
        let first = try Self.draws(100) { $0.seed = 7 }
        #expect(try Self.draws(100) { $0.seed = 7 } == first)
        #expect(try Self.draws(100) { $0.seed = 8 } != first)
        let sampler = Sampler()
        let other = try (1...2).map { choice in
            var state = SamplerState(Self.settings { $0.seed = 7 }, prompt: [], choice: choice)
            return try (0..<100).map { _ in
                var row = Self.logits
                return try row.withUnsafeMutableBufferPointer { try sampler.choose($0, &state).token }
            }
        }
        #expect(other[0] != first && other[1] != first && other[0] != other[1])
    }

    @Test func chancesAreNaturalWhateverTheSamplingDoes() throws {
        let sampler = Sampler()
        var state = SamplerState(
            Self.settings {
                $0.temperature = 0.3
                $0.topK = 2
                $0.logitBias = [(6, 90)]
                $0.topLogprobs = 4
            }, prompt: [], choice: 0)
        var row = Self.logits
        let choice = try row.withUnsafeMutableBufferPointer { try sampler.choose($0, &state) }
        let chances = Self.softmax(Self.logits)
        #expect(choice.token == 6)
        #expect(abs(choice.logprob - log(chances[6])) < 1e-5)
        #expect(choice.top.map(\.id) == [1, 3, 5, 7])
        for (id, logprob) in choice.top { #expect(abs(logprob - log(chances[id])) < 1e-5) }
    }

    @Test func damagedNumbersAreAnErrorAndNoToken() {
        for row in [[Float.nan, .nan], [-.infinity, -.infinity], [1, .infinity], [1, .nan, 2]] as [[Float]] {
            #expect(throws: MartletError.self) { try Self.draws(1, row) { _ in } }
        }
        #expect(throws: MartletError.self) { try Self.draws(1, mask: [0]) { $0.temperature = 0 } }
    }

    @Test func stopTextsAreFoundAcrossTokens() {
        func run(_ parts: [String], stops: [String]) -> (pieces: [String], stopped: Bool) {
            var text = AnswerText(stops: stops)
            var pieces = parts.map { text.push(Array($0.utf8), nil).text }
            pieces.append(text.flush().text)
            return (pieces, text.isStopped)
        }
        #expect(run(["ab", "c", "de"], stops: ["cd"]) == (["ab", "", "", ""], true))
        #expect(run(["ab", "c", "e"], stops: ["cd"]) == (["ab", "", "ce", ""], false))
        #expect(run(["ab", "c"], stops: ["cd"]) == (["ab", "", "c"], false))
        #expect(run(["aab", "aabaac"], stops: ["aabaac"]) == (["", "aab", ""], true))
        #expect(run(["xyz"], stops: ["yz", "xyz", ""]) == (["", ""], true))
        #expect(run(["one\n", "\ntwo"], stops: ["\n\n"]) == (["one", "", ""], true))
        #expect(run(["", "a"], stops: []) == (["", "a", ""], false))
    }

    @Test func charactersComeWhole() {
        var text = AnswerText(stops: ["停"])
        let bytes = Array("é雨燕🦜停x".utf8)
        var shown = ""
        var tokens = 0
        for (index, byte) in bytes.enumerated() {
            let piece = text.push(
                [byte], TokenChance(id: index, bytes: [byte], logprob: 0, top: []))
            shown += piece.text
            tokens += piece.tokens.count
        }
        #expect(shown + text.flush().text == "é雨燕🦜")
        #expect(text.isStopped)
        #expect(tokens == "é雨燕🦜".utf8.count)
        var broken = AnswerText(stops: [])
        #expect(broken.push([0x61, 0xE9], nil).text == "a")
        #expect(broken.push([0x62], nil).text == "\u{FFFD}b")
        #expect(broken.push([0xF0, 0x9F], nil).text.isEmpty)
        #expect(broken.flush().text == "\u{FFFD}")
    }
}
