import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

// N tokens of all parts of a pass, R parts, L labels

/// A classifier of texts or a finder of answers in memory, its weights packed. Lives on the compute thread.
public final class LoadedTextModel {
    public let task: TextTask
    public let reader: TextReader
    public let signature: Signature
    public let format: WeightFormat
    /// The largest difference of a score from float32's over a few tokens, where the format is not exact.
    public let scoreError: Double?
    private let model: TextEncoder

    /// Tokens of one pass.
    private static let passTokens = 512

    /// Loads a bundle's folder and does one real forward pass.
    /// - Parameter asked: nil chooses by what the CPU does well.
    /// - Throws: `invalidData` or `unsupportedFormat` that names what is wrong with the bundle.
    public init(bundle: String, signature: Signature, format asked: WeightFormat?) throws {
        let loaded = try EncoderBundle.load(URL(filePath: bundle))
        let model = loaded.model
        self.model = model
        self.signature = signature
        task = try TextTask(model, config: loaded.folder.config)
        guard let file = loaded.folder.tokenizer, let json = FileManager.default.contents(atPath: file.path) else {
            throw MartletError(.invalidData, "the bundle has no tokenizer.json; import the model with its tokenizer")
        }
        reader = TextReader(
            task, try Tokenizer(json: json), contextLength: model.contextLength,
            vocabularyCount: model.vocabularyCount)
        try model.setTrainable(false)
        let groups = model.linearGroups
        let shared = model.sharedParameters()
        let tokens = (0..<min(8, model.contextLength)).map { Int32($0 * 7919 % max(1, model.vocabularyCount)) }
        let probe = TextReading.Part(
            tokens: tokens, types: tokens.map { _ in 0 }, candidates: 0..<0, places: [])
        let exact = try Self.scores([probe], model, task)[0]
        format = try groups.pack(asked)
        let found = try Self.scores([probe], model, task)[0]
        let error = zip(exact, found).map { abs(Double($0) - Double($1)) }.max() ?? 0
        guard error.isFinite else {
            throw MartletError(.invalidData, "the model's results are not finite in \(format.rawValue)")
        }
        scoreError = format == .half ? error : nil
        if format != .dense {
            for group in groups { try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) } }
        }
    }

    /// What the model makes of each row; a row's result does not hang on its neighbours.
    /// - Parameter pause: called between two passes; it may end the work.
    public func results(of readings: [TextReading], pause: () throws -> Void = {}) throws -> [TextResult] {
        let parts = readings.flatMap(\.parts)
        var scores: [[Float]] = []
        var start = 0
        while start < parts.count {
            var (end, tokens) = (start, 0)
            while end < parts.count, end == start || tokens + parts[end].tokens.count <= Self.passTokens {
                tokens += parts[end].tokens.count
                end += 1
            }
            if start > 0 { try pause() }
            scores += try Self.scores(Array(parts[start..<end]), model, task)
            start = end
        }
        var place = 0
        return readings.map { reading in
            defer { place += reading.parts.count }
            return TextResult(task, reading, scores: Array(scores[place..<place + reading.parts.count]))
        }
    }

    private static func scores(
        _ parts: [TextReading.Part], _ model: TextEncoder, _ task: TextTask
    ) throws -> [[Float]] {
        try Tensor.inference {
            let lengths = parts.map(\.tokens.count)
            let tokens = try Tensor(parts.flatMap { $0.tokens.map(Int64.init) })
            let types =
                parts.contains { $0.types.contains { $0 != 0 } }
                ? try Tensor(parts.flatMap { $0.types.map(Int64.init) }) : nil
            let hidden_ND = try model.hidden(tokens, types: types, lengths: lengths, .inference())
            switch task {
            case .classification(let labels, _), .regression(let labels):
                let numbers = try finite(model.classify(hidden_ND, lengths: lengths, .inference()))
                return parts.indices.map { Array(numbers[$0 * labels.count..<($0 + 1) * labels.count]) }
            case .questionAnswering:
                let numbers = try finite(model.answers(hidden_ND, .inference()))
                var first = 0
                return lengths.map { count in
                    defer { first += count }
                    return (0..<count).map { numbers[2 * (first + $0)] }
                        + (0..<count).map { numbers[2 * (first + $0) + 1] }
                }
            }
        }
    }

    private static func finite(_ scores: Tensor) throws -> [Float] {
        let numbers = try scores.contiguous().array(of: Float.self)
        guard numbers.allSatisfy(\.isFinite) else {
            throw MartletError(.internal, "the model's result is not a number; its weights may be damaged")
        }
        return numbers
    }
}
