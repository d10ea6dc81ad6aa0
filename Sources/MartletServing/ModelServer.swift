import MartletData
import MartletWire

/// Answers requests with one model: reads bodies where they arrive, computes on the compute thread.
public final class ModelServer: Sendable {
    private let queue: InferenceQueue<FeatureBatch>
    private let preprocessing: Preprocessing
    private let signature: Signature
    private let task: ServeTask

    public init(task: ServeTask, preprocessing: Preprocessing, signature: Signature) {
        self.task = task
        self.preprocessing = preprocessing
        self.signature = signature
        queue = InferenceQueue(task)
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

    private func prepare(_ request: InferenceRequest, _ body: [UInt8]) throws -> PreparedRequest<FeatureBatch> {
        let features: FeatureBatch
        var form = AnswerForm.predictions
        switch request.api {
        case .predict: features = try preprocessing.encode(rows: RowsBody.read(body))
        case .file: features = try preprocessing.encodeImages([body])
        case .openInference:
            let parsed = try OpenInferenceRequest(body: body, headerLength: request.headerLength)
            features = try parsed.encoded(by: preprocessing)
            form = .openInference(
                try OpenInferenceAnswer(
                    parsed, signature: signature, model: request.model ?? task.model, version: task.version))
        }
        return PreparedRequest(content: features, rows: features.count, form: form)
    }

    /// Answers until the queue is drained. Runs on the compute thread.
    public func run(_ model: LoadedModel) {
        queue.run { requests, pause in
            let scores = try model.scores(of: requests.map(\.content), pause: pause)
            guard requests.count > 1 else { return [scores] }
            let total = requests.reduce(0) { $0 + $1.rows }
            var row = 0
            return requests.map { request in
                defer { row += request.rows }
                return scores.mapValues { values in
                    let width = values.count / total
                    return Array(values[row * width..<(row + request.rows) * width])
                }
            }
        } write: { request, scores, reply in
            try write(request, scores, reply)
        }
    }

    private func write(
        _ request: PreparedRequest<FeatureBatch>, _ scores: [String: [Float]], _ reply: InferenceReply
    ) throws -> InferenceAnswer {
        switch request.form {
        case .predictions:
            let rows = try preprocessing.predictions(scores: scores, count: request.rows)
            let json: JSON = ["predictions": .array(rows.map(JSON.object))]
            return InferenceAnswer(reply: reply, body: Array(json.serialized().utf8))
        case .openInference(let answer):
            return try answer.write(scores, count: request.rows, preprocessing: preprocessing, reply: reply)
        }
    }
}
