import MartletModels
import MartletWire

/// What a model that reads a source before it writes keeps of one request: the source as its decoder reads it, and the
/// answers so far. Lives on the compute thread.
final class SourceAnswers {
    let tokens: [Int32]
    private var source: T5.Source?
    private var answers: [Int: T5.Answer] = [:]

    init(_ tokens: [Int32]) { self.tokens = tokens }

    /// An answer that goes on from its token of this number; the source is encoded for the first of them.
    func answer(
        _ choice: Int, from start: Int, _ model: T5, _ betweenLayers: () -> Void
    ) throws -> T5.Answer {
        let source = try source ?? model.source(tokens, betweenLayers: betweenLayers)
        self.source = source
        let answer = answers[choice] ?? T5.Answer(source)
        answers[choice] = answer
        answer.cut(to: start)
        guard answer.count == start else {
            throw MartletError(.internal, "an answer of \(answer.count) tokens was to go on from token \(start)")
        }
        return answer
    }

    /// Gives an answer's memory back, and the source's with the last one's.
    func forget(_ choice: Int) {
        answers[choice] = nil
        if answers.isEmpty { source = nil }
    }
}
