import MartletData
import MartletNN
import MartletTensor

/// Draws answers from a model that is being trained, by computing the whole sequence for each token: slow, and free of any
/// state that serving has. The same keys give the same answers from the same weights.
struct AnswerSampler {
    let tuned: TunedModel
    let endTokens: Set<Int>
    /// Most tokens of an answer.
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
        for _ in 0..<maxTokens where !open.isEmpty {
            try goOn()
            let logits = try tuned.nextLogits(open.map { requests[$0].prompt + answers[$0] })
            var left: [Int] = []
            for (row, index) in zip(logits, open) {
                let token = TokenDraw.pick(row, temperature: requests[index].temperature, random[index].uniform())
                answers[index].append(Int64(token))
                let length = requests[index].prompt.count + answers[index].count
                if !endTokens.contains(token), length < context { left.append(index) }
            }
            open = left
        }
        return answers
    }
}
