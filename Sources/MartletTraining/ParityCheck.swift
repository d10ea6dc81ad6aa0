import Foundation
import MartletData
import MartletNN
import MartletTensor
import MartletWire

/// The path by which a bundle is served, as far as a job needs it: to compare what was trained with what will answer,
/// and to measure that.
public struct ServingPath: Sendable {
    /// A bundle that was loaded as a replica loads it.
    public struct Model {
        /// Its weight format's name.
        public var format: String
        /// Gives the logits [tokens, vocabulary] of a sequence in parts, one after another.
        public var parts: ([Int], (Tensor) throws -> Void) throws -> Void

        public init(format: String, parts: @escaping ([Int], (Tensor) throws -> Void) throws -> Void) {
            self.format = format
            self.parts = parts
        }

        /// For what computes all of them at once.
        public init(format: String, logits: @escaping ([Int]) throws -> Tensor) {
            self.init(format: format, parts: { tokens, body in try body(logits(tokens)) })
        }

        /// The logits [tokens, vocabulary] of a sequence.
        public func logits(_ tokens: [Int]) throws -> Tensor {
            var all: [Tensor] = []
            try parts(tokens) { all.append($0) }
            return try Tensor.inference { try Tensor.cat(all) }
        }
    }

    /// Loads `bundle`; `base` is the folder of an adapter's base. A format of nil is the one that is served by default.
    public var load: @Sendable (_ bundle: String, _ base: String?, _ format: WeightFormat?) throws -> Model

    public init(load: @escaping @Sendable (String, String?, WeightFormat?) throws -> Model) { self.load = load }
}

/// Whether serving computes what training computed: logits of the same tokens, compared number by number.
struct ParityCheck {
    /// Sequences that are compared, with how a person finds each.
    let sequences: [(name: String, tokens: [Int64])]
    /// A token's text, for messages.
    let text: (Int) -> String

    private static let sequenceLimit = 8
    private static let tokenLimit = 256

    /// The first held-out examples; where nothing was held out, the first that were trained on.
    init(_ data: TuningData, text: @escaping (Int) -> String) {
        let (examples, what) =
            data.validation.count > 0 ? (data.validation, "validation") : (data.train, "training")
        sequences = (0..<min(Self.sequenceLimit, examples.count)).map {
            ("\(what) example \($0 + 1)", Array(examples[$0].tokens.prefix(Self.tokenLimit)))
        }
        self.text = text
    }

    /// The first windows of the held-out texts; where nothing was held out, of those that were trained on.
    init(_ data: TokenData, length: Int, text: @escaping (Int) -> String) {
        let (tokens, what) = data.validation.count > 0 ? (data.validation, "validation") : (data.train, "training")
        let length = min(length, Self.tokenLimit, tokens.count)
        sequences = (0..<min(Self.sequenceLimit, tokens.count / max(1, length))).map { index in
            let window = [Int64](unsafeUninitializedCapacity: length) { buffer, filled in
                guard let to = buffer.baseAddress else { return }
                tokens.copy(index * length, length, to: to)
                filled = length
            }
            return ("window \(index + 1) of the \(what) texts", window)
        }
        self.text = text
    }

    /// The largest difference of a logit that a format may have: in float32 10⁻⁴, or 10⁻⁵ of the largest logit where that
    /// is more; in other formats a part of the largest logit, at least of 1.
    static func bound(_ format: String, largest: Double) -> Double {
        switch WeightFormat(rawValue: format) {
        case .dense, .packed: max(1e-4, 1e-5 * largest)
        case .half: 0.01 * max(1, largest)
        case nil: 0.05 * max(1, largest)
        }
    }

    /// The largest difference over all sequences. `goOn` is asked before each and throws where the work is to end.
    /// - Throws: `parityCheckFailed` that says where they part.
    func difference(
        _ trained: ([Int64]) throws -> Tensor, _ served: ServingPath.Model, _ goOn: () throws -> Void
    ) throws -> Double {
        var largestDifference = 0.0
        for (name, tokens) in sequences {
            try goOn()
            let expected = try trained(tokens)
            let found = try served.logits(tokens.map { Int($0) }).to(.float32)
            guard expected.shape == found.shape else {
                throw MartletError(
                    .parityCheckFailed,
                    "serving gives logits of the shape \(found.shape) for \(name), training \(expected.shape); the model is "
                        + "not published")
            }
            let gap = try expected.sub(found).abs()
            let largest = try expected.abs().max().item()
            let bound = Self.bound(served.format, largest: largest)
            let difference = try gap.max().item()
            guard difference <= bound else {
                throw try failure(name, tokens, expected, found, gap, bound, served.format)
            }
            largestDifference = max(largestDifference, difference)
        }
        return largestDifference
    }

    private func failure(
        _ name: String, _ tokens: [Int64], _ expected: Tensor, _ found: Tensor, _ gap: Tensor, _ bound: Double,
        _ format: String
    ) throws -> MartletError {
        let rows = try gap.max([-1]).array(of: Double.self)
        let place = rows.firstIndex { !($0 <= bound) } ?? 0
        let column = try gap.select(0, place).argmax(nil).intItem()
        func value(_ tensor: Tensor) throws -> String {
            String(format: "%.6g", try tensor.select(0, place).select(0, column).item())
        }
        return MartletError(
            .parityCheckFailed,
            "the model does not answer in serving as in training: in \(name), after token \(place + 1) "
                + "('\(text(Int(tokens[place])))'), the logit of token \(column) is \(try value(expected)) in training and "
                + "\(try value(found)) in serving (\(format)); \(String(format: "%.3g", bound)) apart is allowed. The model is "
                + "not published; report this with the job's log")
    }
}
