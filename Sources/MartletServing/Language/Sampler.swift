import CKernels
import Foundation
import MartletNN
import MartletTensor
import MartletWire

extension RandomPurpose {
    public static let sampling: UInt32 = 16
}

/// What one sequence has chosen so far, and how it goes on.
public struct SamplerState: Sendable {
    public private(set) var settings: SamplingSettings
    /// The choice's number: choices of one request draw apart from one another.
    private let stream: UInt64
    /// How often each token was chosen.
    public private(set) var counts: [Int32: Int] = [:]
    /// Tokens that the repetition penalty falls on: the prompt's and the chosen ones.
    fileprivate private(set) var seen: Set<Int32> = []
    public private(set) var chosenCount = 0

    public init(_ settings: SamplingSettings, prompt: [Int32], choice: Int) {
        self.settings = settings
        stream = UInt64(choice)
        if settings.repetitionPenalty != 1 { seen = Set(prompt) }
    }

    mutating func note(_ token: Int) {
        chosenCount += 1
        let token = Int32(token)
        if settings.presencePenalty != 0 || settings.frequencyPenalty != 0 { counts[token, default: 0] += 1 }
        if settings.repetitionPenalty != 1 { seen.insert(token) }
    }

    /// Whether a row is changed before a token of it is chosen.
    var changesRows: Bool {
        !seen.isEmpty || !counts.isEmpty || !settings.logitBias.isEmpty || chosenCount < settings.minTokens
    }

    /// From here on an end may come at any time: something else says when.
    mutating func mayEnd() { settings.minTokens = 0 }

    /// A number of [0, 1) that hangs on the seed, the choice and the place alone, whoever else is computed beside it.
    fileprivate var draw: Double {
        RandomKey(seed: settings.seed, purpose: RandomPurpose.sampling, step: UInt64(chosenCount), stream: stream)
            .uniform(1)[0]
    }
}

/// Chooses tokens from rows of logits.
public final class Sampler {
    public struct Choice: Sendable, Equatable {
        public var token: Int
        /// Natural log probability before penalties and temperature; 0 where none was asked for.
        public var logprob: Double
        public var top: [(id: Int, logprob: Double)]
        public static func == (a: Self, b: Self) -> Bool {
            a.token == b.token && a.logprob == b.logprob && a.top.map(\.id) == b.top.map(\.id)
                && a.top.map(\.logprob) == b.top.map(\.logprob)
        }
    }

    private var weights: [Float] = []
    private var places: [Int32] = []

    public init() {}

    /// Chooses the next token of a sequence and notes it. The row is changed.
    /// - Parameter mask: a bit for each token that may be chosen; nil for all.
    /// - Throws: `internal` where the row has no number to choose by.
    public func choose(
        _ row: UnsafeMutableBufferPointer<Float>, _ state: inout SamplerState, mask: [UInt64]? = nil
    ) throws -> Choice {
        let settings = state.settings
        var choice = Choice(token: 0, logprob: 0, top: [])
        var normalizer = 0.0
        var chances: [Float] = []
        if let count = settings.topLogprobs {
            normalizer = try self.normalizer(row)
            choice.top = leaders(row, count).map { ($0, Double(row[$0]) - normalizer) }
            // Penalties and masks come next; the chosen token's own chance is read from a copy.
            chances = Array(row)
        }
        adjust(row, state)
        if let mask {
            // A model may have more rows than its tokenizer has tokens; those are never chosen here.
            let known = min(row.count, mask.count * 64)
            for place in known..<row.count { row[place] = -.infinity }
            mask.withUnsafeBytes {
                ck_row_mask(row.baseAddress, Int64(known), $0.bindMemory(to: UInt32.self).baseAddress)
            }
        }
        choice.token = try settings.temperature == 0 ? best(row) : drawn(row, state)
        if !chances.isEmpty { choice.logprob = Double(chances[choice.token]) - normalizer }
        state.note(choice.token)
        return choice
    }

    /// The natural log probability of given tokens in a row, and the most likely ones: for a prompt's own tokens.
    public func measure(_ row: UnsafeMutableBufferPointer<Float>, token: Int, top: Int) throws -> Choice {
        let normalizer = try normalizer(row)
        return Choice(
            token: token, logprob: Double(row[token]) - normalizer,
            top: leaders(row, top).map { ($0, Double(row[$0]) - normalizer) })
    }

    private func adjust(_ row: UnsafeMutableBufferPointer<Float>, _ state: SamplerState) {
        let settings = state.settings
        let repetition = Float(settings.repetitionPenalty)
        for token in state.seen where row.indices.contains(Int(token)) {
            let x = row[Int(token)]
            row[Int(token)] = x > 0 ? x / repetition : x * repetition
        }
        for (token, count) in state.counts where row.indices.contains(Int(token)) {
            row[Int(token)] -= Float(settings.presencePenalty + settings.frequencyPenalty * Double(count))
        }
        for (token, bias) in settings.logitBias where row.indices.contains(token) { row[token] += bias }
        if state.chosenCount < settings.minTokens {
            for token in settings.endTokens where row.indices.contains(token) { row[token] = -.infinity }
        }
    }

    private func best(_ row: UnsafeMutableBufferPointer<Float>) throws -> Int {
        try highest(row).place
    }

    private func highest(_ row: UnsafeMutableBufferPointer<Float>) throws -> (place: Int, value: Float) {
        var value: Float = 0
        let place = ck_row_highest(row.baseAddress, Int64(row.count), &value)
        guard place >= 0, value.isFinite else {
            throw MartletError(
                .internal, "the model's result has no finite number for any token; its weights may be damaged")
        }
        return (Int(place), value)
    }

    /// log Σ e^x.
    private func normalizer(_ row: UnsafeMutableBufferPointer<Float>) throws -> Double {
        let value = try highest(row).value
        return Double(value) + log(ck_row_exp_sum(row.baseAddress, Int64(row.count), value, 1))
    }

    /// The places of the `count` largest numbers, the largest first.
    private func leaders(_ row: UnsafeMutableBufferPointer<Float>, _ count: Int) -> [Int] {
        var found: [Int] = []
        guard count > 0 else { return [] }
        for place in row.indices {
            let x = row[place]
            if found.count == count, x <= row[found[count - 1]] { continue }
            let index = found.firstIndex { row[$0] < x } ?? found.count
            found.insert(place, at: index)
            if found.count > count { found.removeLast() }
        }
        return found
    }

    private func drawn(_ row: UnsafeMutableBufferPointer<Float>, _ state: SamplerState) throws -> Int {
        let settings = state.settings
        let (place, highest) = try highest(row)
        let scale = Float(1 / settings.temperature)
        // So cold that every other token's chance is below what a number can hold.
        guard scale.isFinite else { return place }
        let total = ck_row_exp_sum(row.baseAddress, Int64(row.count), highest, scale)
        guard total.isFinite, total > 0 else {
            throw MartletError(
                .internal, "the model's result is not a number for some token; its weights may be damaged")
        }
        let isPlain = (settings.topK == 0 || settings.topK >= row.count) && settings.topP >= 1 && settings.minP <= 0
        return isPlain
            ? walk(row, highest, scale, state.draw * total, fallback: place)
            : narrowed(row, highest, scale, total, state)
    }

    /// The first token whose chances, with those before it, exceed `target`.
    private func walk(
        _ row: UnsafeMutableBufferPointer<Float>, _ highest: Float, _ scale: Float, _ target: Double, fallback: Int
    ) -> Int {
        let step = 2048
        if weights.count < step { weights = Array(repeating: 0, count: step) }
        var sum = 0.0
        for start in stride(from: 0, to: row.count, by: step) {
            let count = min(step, row.count - start)
            guard let base = row.baseAddress else { break }
            ck_row_exp(base + start, Int64(count), highest, scale, &weights)
            for index in 0..<count {
                sum += Double(weights[index])
                if sum > target { return start + index }
            }
        }
        return fallback
    }

    /// min-p, then top-k, then top-p of what is left.
    private func narrowed(
        _ row: UnsafeMutableBufferPointer<Float>, _ highest: Float, _ scale: Float, _ total: Double,
        _ state: SamplerState
    ) -> Int {
        let settings = state.settings
        let wanted = settings.topK > 0 ? min(settings.topK, row.count) : 0
        let floor = settings.minP > 0 ? log(settings.minP) : -.infinity
        var candidates: [(weight: Double, place: Int)] = []
        // Most rows are decided among the few tokens near the top; only a flat row looks further down.
        for depth in [-6.0, -16.0, -40.0, -.infinity] {
            let bound = max(depth, floor)
            candidates = above(row, bound.isFinite ? highest + Float(bound) / scale : -.greatestFiniteMagnitude)
                .map { (exp(Double((row[$0] - highest) * scale)), $0) }
            if bound == floor { break }
            let mass = candidates.reduce(0) { $0 + $1.weight }
            if wanted > 0 ? candidates.count >= wanted : mass >= settings.topP * total { break }
        }
        candidates.sort { ($1.weight, $0.place) < ($0.weight, $1.place) }
        if wanted > 0 { candidates.removeLast(max(0, candidates.count - wanted)) }
        if settings.topP < 1 {
            let mass = wanted > 0 || settings.minP > 0 ? candidates.reduce(0) { $0 + $1.weight } : total
            var sum = 0.0
            let kept = candidates.firstIndex { candidate in
                sum += candidate.weight
                return sum >= settings.topP * mass
            }
            if let kept { candidates.removeLast(candidates.count - kept - 1) }
        }
        let target = state.draw * candidates.reduce(0) { $0 + $1.weight }
        var sum = 0.0
        for (weight, place) in candidates {
            sum += weight
            if sum > target { return place }
        }
        return candidates.first?.place ?? 0
    }

    private func above(_ row: UnsafeMutableBufferPointer<Float>, _ bound: Float) -> [Int] {
        if places.count < row.count { places = Array(repeating: 0, count: row.count) }
        let count = ck_row_above(row.baseAddress, Int64(row.count), bound, &places, Int64(places.count))
        return (0..<min(Int(count), places.count)).map { Int(places[$0]) }
    }
}
