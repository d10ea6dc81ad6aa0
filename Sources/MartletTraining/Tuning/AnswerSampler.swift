import MartletData
import MartletNN
import MartletTensor

/// Draws answers from a model that is being trained, free of any state that serving has. The same keys give the same answers
/// from the same weights.
struct AnswerSampler {
    let tuned: TunedModel
    let endTokens: Set<Int>
    /// Most tokens of an answer, at least 1.
    let maxTokens: Int
    let seed: UInt64

    private static let purpose: UInt64 = 9

    /// What one answer begins from, and which stream of random numbers it draws from.
    struct Request {
        var prompt: [Int64]
        var row: UInt64
        /// 0 takes the likeliest token.
        var temperature: Double
    }

    /// For each request the tokens of its answer, the one that ends it included. `goOn` is asked before each token and
    /// throws where the work is to end.
    func answers(
        _ requests: [Request], step: UInt64, _ goOn: () throws -> Void = {}
    ) throws -> [[Int64]] {
        let context = tuned.model.geometry.contextLength
        var answers = [[Int64]](repeating: [], count: requests.count)
        var random = requests.map { CounterRandom(seed: seed, purpose: Self.purpose, step: step, row: $0.row) }
        var open = requests.indices.filter { requests[$0].prompt.count < context }
        guard !open.isEmpty else { return answers }
        let attention = try GrowingAttention(
            lengths: open.map { requests[$0].prompt.count }, device: tuned.device)
        var tokens = open.flatMap { requests[$0].prompt }
        for number in 1...maxTokens {
            try goOn()
            let logits = try tuned.nextLogits(tokens, attention)
            // Places in `open` of the answers that go on, and their newest tokens.
            var left: [Int] = []
            tokens = []
            for (place, index) in open.enumerated() {
                let token = TokenDraw.pick(
                    logits[place], temperature: requests[index].temperature, random[index].uniform())
                answers[index].append(Int64(token))
                let length = requests[index].prompt.count + answers[index].count
                guard !endTokens.contains(token), length < context else { continue }
                left.append(place)
                tokens.append(Int64(token))
            }
            guard !left.isEmpty, number < maxTokens else { break }
            try attention.goOn(left)
            open = left.map { open[$0] }
        }
        return answers
    }
}
