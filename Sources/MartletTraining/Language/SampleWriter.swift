import MartletData
import MartletModels
import MartletNN
import MartletTensor

/// Writes a short text with a model that is being trained, by computing the whole window for each token: slow, and
/// free of any state that serving has.
public struct SampleWriter {
    private let model: any LanguageModel
    private let context: Int
    private let device: Device

    public init(_ model: any LanguageModel, context: Int, device: Device = .cpu) {
        self.model = model
        self.context = context
        self.device = device
    }

    /// The tokens after `prompt`. The same seed gives the same text from the same weights.
    /// - Parameters:
    ///   - temperature: 0 takes the likeliest token.
    ///   - goOn: asked before each token; throws where the work is to end.
    public func tokens(
        after prompt: [Int], count: Int, temperature: Double, seed: UInt64, end: Int?, goOn: () throws -> Void = {}
    ) throws -> [Int] {
        var random = CounterRandom(seed: seed, purpose: 7)
        var all = prompt.map(Int64.init)
        guard !all.isEmpty else { return [] }
        for _ in 0..<count {
            try goOn()
            let window = Array(all.suffix(context))
            let logits = try Tensor.inference {
                let attention = try SequenceAttention(rows: 1, length: window.count, device: device)
                let hidden = try model.hidden(
                    Tensor(window, shape: [window.count], device: device), attention, .inference())
                let last = try hidden.narrow(0, from: window.count - 1, length: 1)
                return try model.logits(last, .inference()).to(.float32).array(of: Float.self)
            }
            let next = TokenDraw.pick(logits, temperature: temperature, random.uniform())
            if next == end { break }
            all.append(Int64(next))
        }
        return all.dropFirst(prompt.count).map { Int($0) }
    }
}
