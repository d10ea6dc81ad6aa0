import Foundation
import MartletModels
import MartletNN
import MartletTensor
import MartletText
import MartletWire

// N tokens of all texts of a pass, R texts, D width

/// An encoder in memory, its weights packed: it makes vectors of texts and nothing else. Lives on the compute thread.
public final class LoadedEncoder {
    public let format: WeightFormat
    /// The largest difference of a number of a vector of length 1 from float32's, where the format is not exact.
    public private(set) var vectorError: Double?
    /// How a text's hidden states become one vector.
    public let pooling: TextEncoder.Pooling
    public let contextLength: Int
    public let vocabularyCount: Int
    private let model: TextEncoder
    private let delivery = DispatchQueue(label: "encoder-delivery")

    /// Tokens of one pass.
    private static let passTokens = 512

    /// - Parameter format: nil chooses by what the CPU does well.
    public init(_ bundle: EncoderBundle, format asked: WeightFormat?) throws {
        let (model, pooling) = (bundle.model, bundle.pooling)
        self.model = model
        self.pooling = pooling
        contextLength = model.contextLength
        vocabularyCount = model.vocabularyCount
        let groups = model.linearGroups
        let shared = model.sharedParameters()
        let probe = (0..<min(8, model.contextLength)).map { Int32($0 * 7919 % max(1, model.vocabularyCount)) }
        let exact = try Self.vectors([probe], model, pooling)[0]
        format = try groups.pack(asked)
        if format == .half {
            let found = try Self.vectors([probe], model, pooling)[0]
            let error = zip(exact, found).map { abs(Double($0) - Double($1)) }.max() ?? 0
            guard error.isFinite else {
                throw MartletError(.invalidData, "the model's results are not finite in \(format.rawValue)")
            }
            vectorError = error
        }
        if format != .dense {
            for group in groups { try group.dropUnpacked { shared.contains(ObjectIdentifier($0)) } }
        }
    }

    /// Answers until the inbox is drained.
    func run(_ inbox: LanguageInbox) {
        var waiting: [EmbeddingWork] = []
        while let items = inbox.take(waits: waiting.isEmpty) {
            for item in items {
                switch item {
                case .ping(let done): done()
                case .embed(let work): waiting.append(work)
                case .cancel(let id): waiting.cancel(id, delivery)
                case .submit(let plan):
                    let error = MartletError(.internal, "an encoder was asked for text")
                    delivery.async { plan.emit(.failure(error)) }
                }
            }
            if !waiting.isEmpty { advance(&waiting) }
        }
        delivery.sync {}
    }

    /// One pass for the request that has waited longest; then it is another one's turn.
    private func advance(_ waiting: inout [EmbeddingWork]) {
        var work = waiting.removeFirst()
        do {
            var part: [[Int32]] = []
            var tokens = 0
            for input in work.inputs[work.vectors.count...] {
                guard part.isEmpty || tokens + input.count <= Self.passTokens else { break }
                part.append(input)
                tokens += input.count
            }
            work.vectors += try Self.vectors(part, model, pooling)
            if work.vectors.count < work.inputs.count {
                waiting.append(work)
            } else {
                let (done, vectors) = (work.done, work.vectors)
                delivery.async { done(.success(vectors)) }
            }
        } catch {
            let (done, error) = (work.done, ServingFailure.wire(error))
            delivery.async { done(.failure(error)) }
        }
    }

    /// Vectors of length 1, one for each text.
    private static func vectors(
        _ texts: [[Int32]], _ model: TextEncoder, _ pooling: TextEncoder.Pooling
    ) throws -> [[Float]] {
        try Tensor.inference {
            let lengths = texts.map(\.count)
            let tokens = try Tensor(texts.flatMap { $0.map(Int64.init) })
            let hidden_ND = try model.hidden(tokens, lengths: lengths, .inference())
            let pooled_RD = try model.pool(hidden_ND, lengths: lengths, pooling).contiguous()
            let numbers = try pooled_RD.array(of: Float.self)
            return try texts.indices.map { index in
                try UnitVector.scaled(Array(numbers[index * model.width..<(index + 1) * model.width]))
            }
        }
    }
}

/// Vectors scaled to length 1.
enum UnitVector {
    /// A vector of zeros stays one. Throws where a number is not finite.
    static func scaled(_ vector: [Float]) throws -> [Float] {
        let length = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        guard length.isFinite else {
            throw MartletError(.internal, "the model's result is not a number; its weights may be damaged")
        }
        return length > 0 ? vector.map { Float(Double($0) / length) } : vector
    }
}
