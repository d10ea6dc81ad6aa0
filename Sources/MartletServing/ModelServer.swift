import Foundation
import MartletData
import MartletTensor
import MartletWire

/// Answers requests with one model: reads bodies where they arrive, computes on the compute thread.
public final class ModelServer: Sendable {
    private let queue: InferenceQueue
    private let preprocessing: Preprocessing
    private let signature: Signature
    private let task: ServeTask

    public init(task: ServeTask, preprocessing: Preprocessing, signature: Signature) {
        self.task = task
        self.preprocessing = preprocessing
        self.signature = signature
        queue = InferenceQueue(maxRows: task.maxBatch, queueLimit: task.queueLimit)
    }

    /// Reads and checks a request's body and queues it. Called from any thread; `done` is called from the compute thread
    /// or, where the request is refused, at once.
    public func handle(
        _ request: InferenceRequest, body: [UInt8],
        done: @escaping @Sendable (Result<InferenceAnswer, MartletError>) -> Void
    ) {
        do {
            let prepared = try prepare(request, body)
            // A wait of more than a day is no deadline.
            let deadline = request.deadlineMicroseconds.map {
                InferenceQueue.now &+ UInt64(clamping: min($0, 86_400_000_000)) &* 1_000
            }
            guard queue.put(.request(prepared, done), rows: prepared.features.count, deadline: deadline) else {
                throw MartletError(
                    .unavailable, "\(task.model) has \(task.queueLimit) requests waiting; try again in a moment")
            }
        } catch {
            done(.failure(Self.wire(error)))
        }
    }

    public func ping(_ done: @escaping @Sendable () -> Void) {
        // Refused only while the queue is drained, and then the process is about to end.
        if !queue.put(.ping(done), rows: 0, deadline: nil) { done() }
    }

    public func drain() { queue.drain() }

    private func prepare(_ request: InferenceRequest, _ body: [UInt8]) throws -> PreparedRequest {
        switch request.api {
        case .predict:
            let json = try JSONParser.parse(body)
            guard case .object(let object) = json, let rows = object["rows"]?.array, !rows.isEmpty else {
                throw MartletError(
                    .invalidRequest, "the body must be {\"rows\": [{column: value, …}, …]}", param: "rows")
            }
            if let unknown = object.keys.first(where: { $0 != "rows" }) {
                throw MartletError(.invalidRequest, "unknown field '\(unknown)'; known: rows", param: unknown)
            }
            let objects = try rows.enumerated().map { index, row in
                guard case .object(let object) = row else {
                    throw MartletError(
                        .invalidRequest, "row \(index + 1) is \(row.kind); give an object of column: value",
                        param: "rows")
                }
                return object
            }
            return PreparedRequest(features: try preprocessing.encode(rows: objects), form: .predictions)
        case .file: return PreparedRequest(features: try preprocessing.encodeImages([body]), form: .predictions)
        case .openInference:
            let parsed = try OpenInferenceRequest(body: body, headerLength: request.headerLength)
            return PreparedRequest(
                features: try parsed.encoded(by: preprocessing),
                form: .openInference(
                    try OpenInferenceAnswer(
                        parsed, signature: signature, model: request.model ?? task.model,
                        version: task.version)))
        }
    }

    /// Answers until the queue is drained. Runs on the compute thread.
    public func run(_ model: LoadedModel) {
        while let (batch, expired) = queue.take() {
            for entry in expired {
                if case .request(_, let done) = entry.item {
                    done(
                        .failure(
                            MartletError(.deadlineExceeded, "the request waited past its deadline and was not started"))
                    )
                }
            }
            var requests: [(entry: Batcher<InferenceQueue.Item>.Entry, request: PreparedRequest)] = []
            for entry in batch {
                switch entry.item {
                case .ping(let done): done()
                case .request(let request, _): requests.append((entry, request))
                }
            }
            if !requests.isEmpty { answer(requests, model) }
        }
    }

    private func answer(
        _ requests: [(entry: Batcher<InferenceQueue.Item>.Entry, request: PreparedRequest)], _ model: LoadedModel
    ) {
        let started = InferenceQueue.now
        let scores: [String: [Float]]
        do {
            scores = try model.scores(of: requests.map(\.request.features))
        } catch {
            // One bad request must not fail its neighbours: alone, each gets its own result.
            if requests.count > 1 {
                for request in requests { answer([request], model) }
            } else {
                finish(requests[0].entry, .failure(Self.wire(error)))
            }
            return
        }
        let computed = InferenceQueue.now
        let total = requests.reduce(0) { $0 + $1.request.features.count }
        var row = 0
        for (entry, request) in requests {
            let count = request.features.count
            let own =
                requests.count == 1
                ? scores
                : scores.mapValues { values in
                    let width = values.count / total
                    return Array(values[row * width..<(row + count) * width])
                }
            row += count
            let reply = InferenceReply(
                rows: count, queueMicroseconds: Int((started &- entry.arrived) / 1_000),
                computeMicroseconds: Int((computed &- started) / 1_000))
            finish(entry, Result { try write(request.form, own, count, reply) }.mapError(Self.wire))
        }
    }

    private func finish(_ entry: Batcher<InferenceQueue.Item>.Entry, _ result: Result<InferenceAnswer, MartletError>) {
        if case .request(_, let done) = entry.item { done(result) }
    }

    private func write(
        _ form: AnswerForm, _ scores: [String: [Float]], _ count: Int, _ reply: InferenceReply
    ) throws -> InferenceAnswer {
        switch form {
        case .predictions:
            let rows = try preprocessing.predictions(scores: scores, count: count)
            let json: JSON = ["predictions": .array(rows.map(JSON.object))]
            return InferenceAnswer(reply: reply, body: Array(json.serialized().utf8))
        case .openInference(let answer):
            return try answer.write(scores, count: count, preprocessing: preprocessing, reply: reply)
        }
    }

    private static func wire(_ error: any Error) -> MartletError {
        if let error = error as? MartletError { return error }
        if let error = error as? TensorError { return error.martletError }
        return MartletError(.internal, "the model failed on this request; see the log of its replica")
    }
}
