import MartletModels
import MartletNN
import MartletTensor
import MartletWire

// N tokens of a pass, D width, V vocabulary

/// A pass of a model that reads a source before it writes. Lives on the compute thread.
///
/// The scheduler sees one sequence for each answer: its source, the token that answers start from, and what was chosen
/// since. A source is encoded as a whole once the sequence's turn has come to its answer, so that long sources wait for
/// their share of passes as long prompts do.
final class SourcePass: AnswerPass {
    var betweenLayers: () -> Void = {}
    private let model: T5

    init(_ model: T5) { self.model = model }

    var answerStart: [Int32] { [Int32(model.startToken)] }

    func hidden(_ rows: [PassRow]) throws -> Tensor {
        var parts: [(tokens: [Int32], answer: T5.Answer)] = []
        var counts: [(source: Int, answer: Int)] = []
        for item in rows {
            guard let source = item.source else {
                throw MartletError(.internal, "a sequence came without its source")
            }
            let (tokens, start) = (item.row.tokens, item.row.start)
            let read = max(0, min(tokens.count, source.tokens.count - start))
            counts.append((read, tokens.count - read))
            guard read < tokens.count else { continue }
            let place = start + read - source.tokens.count
            let answer = try source.answer(item.row.id.choice, from: place, model, betweenLayers)
            parts.append((Array(tokens[read...]), answer))
        }
        let answered = try parts.isEmpty ? nil : model.hidden(parts, betweenLayers: betweenLayers)
        var place = 0
        let pieces = try counts.flatMap { read, count -> [Tensor] in
            // Nobody asks for the results of a source's tokens.
            var pieces = read > 0 ? [try Tensor.zeros([read, model.width])] : []
            if count > 0, let answered { pieces.append(try answered.narrow(0, from: place, length: count)) }
            place += count
            return pieces
        }
        return try Tensor.cat(pieces)
    }

    func hidden(alone tokens: [Int32], _ adapter: AdapterWeights?) throws -> Tensor {
        throw MartletError(.invalidRequest, "a model that reads a source makes no vectors", param: "model")
    }

    func logits(_ hidden: Tensor, _ parts: [(adapter: AdapterWeights?, count: Int)]) throws -> Tensor {
        try model.logits(hidden, .inference()).to(.float32).contiguous()
    }
}
