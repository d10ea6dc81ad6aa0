import MartletText
import MartletWire

/// One row of a request as tokens: one part, or several where the text is longer than the model reads at once.
public struct TextReading: Sendable, Equatable {
    /// Tokens that the model reads at once.
    public struct Part: Sendable, Equatable {
        public var tokens: [Int32]
        /// Which of two texts each token belongs to.
        public var types: [Int32]
        /// The tokens of an answer's text.
        public var candidates: Range<Int>
        /// The place of each candidate in the text, in Unicode scalars.
        public var places: [Range<Int>]
    }
    public var parts: [Part]
    /// The text that an answer is a part of.
    public var text: String
}

/// Makes readings of texts. No tensors; any thread.
public struct TextReader: Sendable {
    private let task: TextTask
    private let tokenizer: Tokenizer
    private let contextLength: Int
    private let vocabularyCount: Int
    /// Tokens of a text that two parts of it share, so that an answer at a border is whole in one of them.
    private static let overlap = 128

    /// - Parameters:
    ///   - contextLength: the most tokens that the model reads at once.
    ///   - vocabularyCount: the tokens that it knows.
    public init(_ task: TextTask, _ tokenizer: Tokenizer, contextLength: Int, vocabularyCount: Int) {
        self.task = task
        self.tokenizer = tokenizer
        self.contextLength = contextLength
        self.vocabularyCount = vocabularyCount
    }

    /// - Throws: `invalidRequest` that names the row's column, `contextLengthExceeded` where a text is too long.
    public func read(_ first: String, _ second: String?) throws -> TextReading {
        // A token stands for 128 bytes at the most; a longer text than this has too many parts.
        let limit = (task.needsBoth ? 1 << 14 : 128) * contextLength
        for (name, text) in zip(task.inputs, [first, second ?? ""]) where text.utf8.count > limit {
            throw tooLong("more than \(limit) bytes", name)
        }
        let whole = try second.map { try tokenizer.encode(first, pair: $0) } ?? tokenizer.encode(first)
        if let unknown = whole.ids.first(where: { $0 < 0 || $0 >= vocabularyCount }) {
            throw MartletError(.invalidData, "the tokenizer gave token \(unknown); the model has \(vocabularyCount)")
        }
        switch task {
        case .classification, .regression:
            guard whole.count <= contextLength else { throw tooLong("\(whole.count) tokens", task.inputs[0]) }
            guard whole.count > 0 else { throw empty(task.inputs[0]) }
            return TextReading(parts: [part(whole, 0..<whole.count, 0..<0)], text: first)
        case .questionAnswering:
            return TextReading(parts: try parts(whole, question: first), text: second ?? "")
        }
    }

    /// The text's tokens in parts that overlap, each with the question and the marks around it.
    private func parts(_ whole: Encoding, question: String) throws -> [TextReading.Part] {
        let own = whole.ids.indices.filter { !whole.specialMask[$0] }
        let asked = try tokenizer.encode(question, addSpecialTokens: false).count
        let text = own.dropFirst(asked)
        guard asked > 0 else { throw empty(task.inputs[0]) }
        guard let first = text.first, let last = text.last else { throw empty(task.inputs[1]) }
        let room = contextLength - first - (whole.count - last - 1)
        guard room > 0 else { throw tooLong("\(asked) tokens", task.inputs[0]) }
        guard last - first >= room else { return [part(whole, 0..<whole.count, first..<last + 1)] }
        let step = room - min(Self.overlap, room / 2)
        var parts: [TextReading.Part] = []
        var start = first
        while true {
            let end = min(start + room, last + 1)
            var cut = Encoding()
            let kept = Array(0..<first) + Array(start..<end) + Array(last + 1..<whole.count)
            cut.ids = kept.map { whole.ids[$0] }
            cut.offsets = kept.map { whole.offsets[$0] }
            cut.typeIds = kept.map { whole.typeIds[$0] }
            parts.append(part(cut, 0..<cut.count, first..<first + end - start))
            if end == last + 1 { return parts }
            start += step
        }
    }

    private func part(_ encoding: Encoding, _ range: Range<Int>, _ candidates: Range<Int>) -> TextReading.Part {
        TextReading.Part(
            tokens: encoding.ids[range].map { Int32($0) }, types: encoding.typeIds[range].map { Int32($0) },
            candidates: candidates, places: Array(encoding.offsets[candidates]))
    }

    private func empty(_ name: String) -> MartletError {
        MartletError(.invalidRequest, "'\(name)' is empty; give it some text", param: name)
    }

    private func tooLong(_ what: String, _ name: String) -> MartletError {
        MartletError(
            .contextLengthExceeded,
            "this model reads \(contextLength) tokens at once, and '\(name)' has \(what); shorten it", param: name)
    }
}
