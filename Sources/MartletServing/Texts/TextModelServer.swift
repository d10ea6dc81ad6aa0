import MartletData
import MartletWire

/// Answers requests with a model of whole texts: reads bodies where they arrive, computes on the compute thread.
public final class TextModelServer: Sendable {
    private let queue: InferenceQueue<[TextReading]>
    private let reader: TextReader
    private let task: TextTask
    private let signature: Signature
    private let serving: ServeTask

    public init(_ serving: ServeTask, _ model: LoadedTextModel) {
        self.serving = serving
        (reader, task, signature) = (model.reader, model.task, model.signature)
        queue = InferenceQueue(serving)
    }

    /// Reads and checks a request's body and queues it. Called from any thread; `done` is called once: at once where the
    /// request is refused, at its deadline where it still waits then, else from the compute thread.
    /// `id` is for `cancel`.
    public func handle(
        _ request: InferenceRequest, id: UInt64? = nil, body: [UInt8],
        done: @escaping @Sendable (Result<InferenceAnswer, MartletError>) -> Void
    ) {
        queue.handle(request, id: id, done: done) { try prepare(request, body) }
    }

    /// Nobody waits for the answer any more.
    public func cancel(_ id: UInt64) { queue.cancel(id) }

    public func ping(_ done: @escaping @Sendable () -> Void) { queue.ping(done) }

    public func drain() { queue.drain() }

    private func prepare(_ request: InferenceRequest, _ body: [UInt8]) throws -> PreparedRequest<[TextReading]> {
        let readings: [TextReading]
        var form = AnswerForm.predictions
        switch request.api {
        case .predict: readings = try rows(body)
        case .file:
            throw MartletError(
                .invalidRequest, "the model reads texts; send {\"rows\": [{\"\(task.inputs[0])\": …}, …]} as JSON")
        case .openInference:
            let parsed = try OpenInferenceRequest(body: body, headerLength: request.headerLength)
            form = .openInference(
                try OpenInferenceAnswer(
                    parsed, signature: signature, model: request.model ?? serving.model, version: serving.version))
            readings = try texts(of: parsed)
        }
        return PreparedRequest(content: readings, rows: readings.count, form: form)
    }

    /// `{"rows": [{"text": …}, …]}`.
    private func rows(_ body: [UInt8]) throws -> [TextReading] {
        try RowsBody.read(body).enumerated().map { index, row in
            if let unknown = row.keys.first(where: { !task.inputs.contains($0) }) {
                throw MartletError(
                    .invalidRequest,
                    "row \(index + 1) has the column '\(unknown.prefix(60))'; known: "
                        + task.inputs.joined(separator: ", "), param: "rows")
            }
            let texts = try task.inputs.map { name -> String? in
                switch row[name] {
                case .string(let text): return text
                case nil, .null: return nil
                case let other?:
                    throw MartletError(
                        .invalidRequest, "row \(index + 1): '\(name)' is \(other.kind); give a text", param: "rows")
                }
            }
            if let missing = missing(texts.map { $0 != nil }) {
                throw MartletError(
                    .invalidRequest, "row \(index + 1) has no \(missing.names); give each row one", param: "rows")
            }
            return try reader.read(texts[0] ?? "", texts[1])
        }
    }

    /// The inputs that a model needs and did not get, in words; nil where there are all.
    private func missing(_ given: [Bool]) -> (first: String, names: String, count: Int)? {
        let names = zip(task.inputs, given).filter { !$1 && ($0 == task.inputs[0] || task.needsBoth) }.map(\.0)
        guard let first = names.first else { return nil }
        return (first, names.map { "'\($0)'" }.joined(separator: ", "), names.count)
    }

    private func texts(of request: OpenInferenceRequest) throws -> [TextReading] {
        var columns: [String: [[UInt8]]] = [:]
        for tensor in request.inputs {
            guard task.inputs.contains(tensor.name) else {
                throw MartletError(
                    .invalidRequest,
                    "the model has no input '\(tensor.name.prefix(60))'; it has "
                        + task.inputs.joined(separator: ", "), param: tensor.name)
            }
            guard case .strings(let texts) = tensor.data else {
                throw MartletError(
                    .invalidRequest, "the input '\(tensor.name)' is \(tensor.datatype); give BYTES", param: tensor.name)
            }
            guard columns.updateValue(texts, forKey: tensor.name) == nil else {
                throw MartletError(
                    .invalidRequest, "the input '\(tensor.name)' stands twice; give it once", param: tensor.name)
            }
        }
        if let missing = missing(task.inputs.map { columns[$0] != nil }) {
            let what = missing.count == 1 ? "input \(missing.names) is" : "inputs \(missing.names) are"
            throw MartletError(.invalidRequest, "the \(what) missing; give every input", param: missing.first)
        }
        let first = columns[task.inputs[0]] ?? []
        let second = columns[task.inputs[1]]
        guard second.map({ $0.count == first.count }) ?? true else {
            throw MartletError(
                .invalidRequest, "the inputs have \(first.count) and \(second?.count ?? 0) texts; give as many of each")
        }
        return try first.indices.map { index in
            try reader.read(Self.text(first[index]), second.map { try Self.text($0[index]) })
        }
    }

    private static func text(_ bytes: [UInt8]) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw MartletError(.invalidRequest, "a text is not UTF-8; send it as UTF-8")
        }
        return text
    }

    /// Answers until the queue is drained. Runs on the compute thread.
    public func run(_ model: LoadedTextModel) {
        queue.run { requests, pause in
            let results = try model.results(of: requests.flatMap(\.content), pause: pause)
            var row = 0
            return requests.map { request in
                defer { row += request.rows }
                return Array(results[row..<row + request.rows])
            }
        } write: { request, results, reply in
            try write(request.form, results, reply)
        }
    }

    private func write(
        _ form: AnswerForm, _ results: [TextResult], _ reply: InferenceReply
    ) throws -> InferenceAnswer {
        switch form {
        case .predictions:
            let json: JSON = ["predictions": .array(results.map { .object($0.object(task)) })]
            return InferenceAnswer(reply: reply, body: Array(json.serialized().utf8))
        case .openInference(let answer):
            var labels: [String: [String]] = [:]
            if case .classification(let names, _) = task { labels["label_probabilities"] = names }
            return try answer.write(
                TextResult.tensors(results, task), count: results.count, labels: labels, reply: reply)
        }
    }
}
