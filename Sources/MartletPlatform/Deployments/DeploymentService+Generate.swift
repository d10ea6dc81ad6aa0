import Foundation
import MartletStore
import MartletWire

/// Text on its way from a replica.
public struct Generation: Sendable {
    /// `name@version` of the model that answers.
    public let model: String
    /// The bundle's hash: the same weights and templates have the same.
    public let contentHash: String
    /// Requests that the replica takes at once, and how many more at this moment.
    public let queueLimit: Int
    public let queueRoom: Int
    /// Ends after `done`, or throws. Whoever stops reading ends the work.
    public let events: AsyncThrowingStream<GenerationEvent, any Error>
    /// Ends the work now; the events throw this.
    public let end: @Sendable (MartletError) -> Void
}

extension DeploymentService {
    /// Begins an answer. `request.tenant`, `owner` and the deadline are set here.
    ///
    /// Throws `modelNotFound`, `invalidRequest` for what is no language model, `unavailable`, `deadlineExceeded`; the
    /// events throw what the replica throws.
    public nonisolated func generate(
        model: String, request: GenerationRequest, by principal: Principal
    ) async throws -> Generation {
        let place = try await languagePlace(
            model, by: principal, deadline: request.deadlineMicroseconds, generates: true)
        var request = request
        request.tenant = principal.project
        request.owner = principal.keyID
        request.deadlineMicroseconds = place.microsecondsLeft
        request.adapter = place.route.adapter?.reference
        let head: [UInt8]
        do {
            head = [UInt8](try JSONEncoder.wire.encode(PlatformRequest.generate(request)))
        } catch {
            place.group.release(place.replica)
            throw error
        }
        let bill = GenerationBill(
            ledger: ledger, principal: principal, reference: place.route.model.reference,
            limit: Self.billLimit(request, place.group.model))
        let (events, continuation) = AsyncThrowingStream<GenerationEvent, any Error>.makeStream()
        let take: @Sendable ([UInt8]) -> Void = { head in
            do {
                let event = try GenerationEvent(head: head)
                bill.saw(event)
                continuation.yield(event)
            } catch {
                continuation.finish(throwing: error)
            }
        }
        let connection = place.connection
        let id = connection.stream(
            head: head,
            PartSink(part: take) { result in
                place.group.release(place.replica)
                bill.settle(result)
                switch result {
                case .success(let head):
                    take(head)
                    continuation.finish()
                case .failure(let error): continuation.finish(throwing: error)
                }
            })
        continuation.onTermination = { termination in
            if case .cancelled = termination { connection.cancel(stream: id) }
        }
        let limit = environment.configuration.replicaQueueLimit
        return Generation(
            model: place.route.model.reference, contentHash: place.route.model.contentHash, queueLimit: limit,
            queueRoom: max(0, limit - place.replica.state.withLock { $0.inFlight }), events: events,
            end: { error in
                continuation.finish(throwing: error)
                connection.cancel(stream: id)
            })
    }

    /// Vectors, [inputs, width] float32 little-endian.
    public nonisolated func embed(
        model: String, request: EmbeddingRequest, by principal: Principal, deadlineMicroseconds: Int? = nil
    ) async throws -> (EmbeddingReply, [UInt8]) {
        let (reply, body, reference) = try await ask(
            model, EmbeddingReply.self, by: principal, deadline: deadlineMicroseconds
        ) { adapter in
            var request = request
            request.adapter = adapter
            return .embed(request)
        }
        let (needed, isOverflow) = reply.width.multipliedReportingOverflow(by: 4 * request.inputs.count)
        guard !isOverflow, reply.width > 0, body.count == needed else { throw Self.unreadable }
        ledger.count(
            by: principal, kind: "inference", resource: reference, rows: request.inputs.count, cpuSeconds: 0,
            promptTokens: reply.tokens)
        return (reply, body)
    }

    public nonisolated func tokenize(
        model: String, request: TokenizeRequest, by principal: Principal
    ) async throws -> TokenizeReply {
        try await ask(model, TokenizeReply.self, by: principal, deadline: nil) { _ in .tokenize(request) }.0
    }

    public nonisolated func detokenize(
        model: String, tokens: [Int], by principal: Principal
    ) async throws -> DetokenizeReply {
        try await ask(model, DetokenizeReply.self, by: principal, deadline: nil) { _ in .detokenize(tokens) }.0
    }

    // MARK: One place at a replica

    private struct Place: Sendable {
        var route: Route
        var replica: Replica
        var connection: EngineConnection
        var microsecondsLeft: Int

        var group: ReplicaGroup { route.group }
    }

    private nonisolated func languagePlace(
        _ model: String, by principal: Principal, deadline: Int?, generates: Bool = false
    ) async throws -> Place {
        try principal.require(.developer, .inference)
        try budgets.check(principal.project)
        let arrival = ContinuousClock.now
        let route: Route
        do {
            route = try await self.route(to: model, by: principal)
        } catch let error as MartletError where error.code == .notFound {
            throw MartletError(
                .modelNotFound,
                "the model '\(model.prefix(200))' does not exist, or this key may not use it; see GET /v1/models",
                param: "model")
        }
        let group = route.group
        guard group.model.signature.isLanguage else {
            throw MartletError(
                .invalidRequest,
                "'\(model.prefix(200))' is not a language model; ask it at "
                    + "/api/v1/deployments/NAME/predict or /v2/models/NAME/infer", param: "model")
        }
        guard !generates || group.model.signature.language?.generates != false else {
            throw MartletError(
                .invalidRequest,
                "'\(model.prefix(200))' makes vectors of texts and no text; ask it at /v1/embeddings", param: "model")
        }
        let allowed = environment.configuration.generationTimeoutSeconds.multipliedReportingOverflow(by: 1_000_000)
        let longest = allowed.overflow ? Int.max / 2 : allowed.partialValue
        let total = min(max(deadline ?? longest, 0), longest)
        let (replica, connection) = try await group.acquire(
            waitingUpTo: route.wait, deadline: .microseconds(total))
        let left = total - Int(clamping: Int64(arrival.duration(to: .now) / .microseconds(1)))
        guard left > 0 else {
            group.release(replica)
            throw ReplicaGroup.late(model)
        }
        return Place(route: route, replica: replica, connection: connection, microsecondsLeft: left)
    }

    private nonisolated func ask<Reply: Decodable>(
        _ model: String, _ type: Reply.Type, by principal: Principal, deadline: Int?,
        _ request: (AdapterReference?) -> PlatformRequest
    ) async throws -> (Reply, [UInt8], reference: String) {
        let place = try await languagePlace(model, by: principal, deadline: deadline)
        defer { place.group.release(place.replica) }
        let answer: EngineConnection.Answer
        let question = request(place.route.adapter?.reference)
        do {
            answer = try await Self.within(.microseconds(place.microsecondsLeft)) {
                try await place.connection.request(question)
            }
        } catch is CancellationError {
            throw MartletError(.cancelled, "the client left before the answer was there")
        }
        guard let reply = try? JSONDecoder.wire.decode(type, from: Data(answer.head)) else { throw Self.unreadable }
        return (reply, answer.body, place.route.model.reference)
    }

    /// What `work` gives; it is cancelled where it takes longer. Throws `deadlineExceeded` then.
    private static func within<Value: Sendable>(
        _ time: Duration, _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        try await withThrowingTaskGroup(of: Value.self) { group in
            group.addTask { try await work() }
            group.addTask {
                try await Task.sleep(for: time)
                throw MartletError(
                    .deadlineExceeded,
                    "the answer was not whole by the request's deadline; send fewer texts or allow more time")
            }
            defer { group.cancelAll() }
            guard let value = try await group.next() else { throw CancellationError() }
            return value
        }
    }

    private static var unreadable: MartletError {
        MartletError(.internal, "the model's process gave an answer that cannot be read; update both programs")
    }

    /// The most tokens that an answer can have cost: a damaged process must not write an absurd bill.
    private static func billLimit(_ request: GenerationRequest, _ model: ModelInfo) -> Int {
        let context = max(1, model.signature.language?.contextLength ?? 1 << 20)
        let (product, isOverflow) = context.multipliedReportingOverflow(by: request.choiceCount)
        return isOverflow ? .max : product
    }
}
