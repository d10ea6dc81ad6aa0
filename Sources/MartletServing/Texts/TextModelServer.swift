import Foundation
import MartletData
import MartletTensor
import MartletWire

/// Answers requests with a model of whole texts: reads bodies where they arrive, computes on the compute thread.
public final class TextModelServer: Sendable {
    private let queue: InferenceQueue
    private let reader: TextReader
    private let task: TextTask
    private let signature: Signature
    private let serving: ServeTask

    public init(_ serving: ServeTask, _ model: LoadedTextModel) {
        self.serving = serving
        (reader, task, signature) = (model.reader, model.task, model.signature)
        queue = InferenceQueue(maxRows: serving.maxBatch, queueLimit: serving.queueLimit)
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
            guard queue.put(.request(prepared, done), rows: prepared.texts.count, deadline: deadline) else {
                throw MartletError(
                    .unavailable, "\(serving.model) has \(serving.queueLimit) requests waiting; try again in a moment")
            }
        } catch {
            done(.failure(LanguageServer.wire(error)))
        }
    }

    public func ping(_ done: @escaping @Sendable () -> Void) {
        // Refused only while the queue is drained, and then the process is about to end.
        if !queue.put(.ping(done), rows: 0, deadline: nil) { done() }
    }

    public func drain() { queue.drain() }

    private func prepare(_ request: InferenceRequest, _ body: [UInt8]) throws -> PreparedRequest {
        switch request.api {
        case .predict: return PreparedRequest(texts: try rows(body), form: .predictions)
        case .file:
            throw MartletError(
                .invalidRequest, "the model reads texts; send {\"rows\": [{\"\(task.inputs[0])\": …}, …]} as JSON")
        case .openInference:
            let parsed = try OpenInferenceRequest(body: body, headerLength: request.headerLength)
            let answer = try OpenInferenceAnswer(
                parsed, signature: signature, model: request.model ?? serving.model, version: serving.version)
            return PreparedRequest(texts: try texts(of: parsed), form: .openInference(answer))
        }
    }

    /// `{"rows": [{"text": …}, …]}`.
    private func rows(_ body: [UInt8]) throws -> [TextReading] {
        let json = try JSONParser.parse(body)
        guard case .object(let object) = json, let rows = object["rows"]?.array, !rows.isEmpty else {
            throw MartletError(.invalidRequest, "the body must be {\"rows\": [{column: value, …}, …]}", param: "rows")
        }
        if let unknown = object.keys.first(where: { $0 != "rows" }) {
            throw MartletError(.invalidRequest, "unknown field '\(unknown)'; known: rows", param: unknown)
        }
        return try rows.enumerated().map { index, row in
            guard case .object(let object) = row else {
                throw MartletError(
                    .invalidRequest, "row \(index + 1) is \(row.kind); give an object of column: value", param: "rows")
            }
            if let unknown = object.keys.first(where: { !task.inputs.contains($0) }) {
                throw MartletError(
                    .invalidRequest,
                    "row \(index + 1) has the column '\(unknown.prefix(60))'; known: "
                        + task.inputs.joined(separator: ", "), param: "rows")
            }
            let texts = try task.inputs.map { name -> String? in
                switch object[name] {
                case .string(let text): return text
                case nil, .null: return nil
                case let other?:
                    throw MartletError(
                        .invalidRequest, "row \(index + 1): '\(name)' is \(other.kind); give a text", param: "rows")
                }
            }
            return try read(texts[0], texts[1], row: index)
        }
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
        guard let first = columns[task.inputs[0]] else {
            throw MartletError(
                .invalidRequest, "the input '\(task.inputs[0])' is missing", param: task.inputs[0])
        }
        let second = columns[task.inputs[1]]
        guard second.map({ $0.count == first.count }) ?? true else {
            throw MartletError(
                .invalidRequest, "the inputs have \(first.count) and \(second?.count ?? 0) texts; give as many of each")
        }
        return try first.indices.map { index in
            try read(Self.text(first[index]), second.map { try Self.text($0[index]) }, row: index)
        }
    }

    private static func text(_ bytes: [UInt8]) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw MartletError(.invalidRequest, "a text is not UTF-8; send it as UTF-8")
        }
        return text
    }

    private func read(_ first: String?, _ second: String?, row: Int) throws -> TextReading {
        for (name, text) in zip(task.inputs, [first, second])
        where text == nil && (name == task.inputs[0] || task.needsBoth) {
            throw MartletError(
                .invalidRequest, "row \(row + 1) has no '\(name)'; give each row one", param: "rows")
        }
        return try reader.read(first ?? "", second)
    }

    /// Answers until the queue is drained. Runs on the compute thread.
    public func run(_ model: LoadedTextModel) {
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
        _ requests: [(entry: Batcher<InferenceQueue.Item>.Entry, request: PreparedRequest)], _ model: LoadedTextModel
    ) {
        let started = InferenceQueue.now
        let results: [TextResult]
        do {
            results = try model.results(of: requests.flatMap(\.request.texts))
        } catch {
            // One bad request must not fail its neighbours: alone, each gets its own result.
            if requests.count > 1 {
                for request in requests { answer([request], model) }
            } else if case .request(_, let done) = requests[0].entry.item {
                done(.failure(LanguageServer.wire(error)))
            }
            return
        }
        let computed = InferenceQueue.now
        var row = 0
        for (entry, request) in requests {
            let own = Array(results[row..<row + request.texts.count])
            row += own.count
            let reply = InferenceReply(
                rows: own.count, queueMicroseconds: Int((started &- entry.arrived) / 1_000),
                computeMicroseconds: Int((computed &- started) / 1_000))
            guard case .request(_, let done) = entry.item else { continue }
            done(Result { try write(request.form, own, reply) }.mapError(LanguageServer.wire))
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
