import Foundation
import MartletModels
import MartletTensor
import MartletText
import MartletWire
import Synchronization

/// Answers requests with one language model: renders and tokenizes where there is time, computes on the compute thread.
///
/// Any thread may call its methods. What it tells comes from queues of its own, in order for each request.
public final class LanguageServer: Sendable {
    public typealias RequestID = UInt64
    /// Calls what it is given, which tells the parts of answers that one pass gave, and may send them as one.
    public typealias Gather = @Sendable (_ tell: () -> Void) -> Void

    /// What the requests of a model are held to.
    public struct Bounds: Sendable {
        /// Most tokens of a prompt and its answer: the model's context, or the cache where that is smaller. Of an answer
        /// alone, where the model reads its source apart.
        public var contextLength: Int
        /// Most tokens of the source that a model reads before it writes; nil for one that goes on with its prompt.
        public var sourceLength: Int?
        public var vocabularyCount: Int
        /// Requests that are being read and tokenized.
        public var preparing = 1024
        /// Answers that are read or wait for their first pass. The scheduler has the last word; what is past this is
        /// refused before it is read.
        public var waiting = Int.max
        /// Whether the model goes on with text; an encoder only makes vectors.
        public var generates = true
        /// Why no vectors can be made of texts; nil where they can.
        public var vectorFault: MartletError?
        /// Requests that are read at the same time; with 1 they stay in order.
        public var readers = 2
        public init(contextLength: Int, vocabularyCount: Int) {
            self.contextLength = contextLength
            self.vocabularyCount = vocabularyCount
        }

        /// Most tokens of a text that comes in.
        var textLength: Int { sourceLength ?? contextLength }
    }

    let name: String
    let text: LanguageText
    let bounds: Bounds
    let adapters: AdapterLibrary?
    private let inbox = LanguageInbox()
    private let lastID = Atomic<UInt64>(0)
    private let preparing = Atomic<Int>(0)
    private let preparation: OperationQueue
    let constraints: ConstraintLibrary
    /// Requests that are being read, with whether they were cancelled meanwhile.
    private let unread = Mutex<[RequestID: Bool]>([:])

    /// - Parameters:
    ///   - name: the model's, for messages.
    ///   - adapters: where requests find theirs; without it such requests are refused.
    public init(name: String, text: LanguageText, bounds: Bounds, adapters: AdapterLibrary? = nil) {
        self.adapters = adapters
        self.name = name
        self.text = text
        self.bounds = bounds
        constraints = ConstraintLibrary(text)
        preparation = OperationQueue()
        preparation.maxConcurrentOperationCount = bounds.readers
    }

    /// Reads a request and starts to answer it.
    /// - Parameter emit: gets the parts of the answer, the last of them `done` or a failure. A cancelled request ends
    ///   so too, with what was computed.
    /// - Returns: the name by which it can be cancelled.
    @discardableResult
    public func generate(
        _ request: GenerationRequest, emit: @escaping @Sendable (Result<GenerationEvent, MartletError>) -> Void
    ) -> RequestID {
        let arrived = MonotonicTime.now
        return accept(answers: max(1, request.choiceCount), isBackground: request.isBackground) {
            emit(.failure($0))
        } read: { [self] id in
            .submit(try plan(request, id: id, arrived: arrived, emit: emit))
        }
    }

    /// Takes a request in, and puts what `read` makes of it into the inbox.
    private func accept(
        answers: Int, isBackground: Bool = false, failed: @escaping @Sendable (MartletError) -> Void,
        read: @escaping @Sendable (RequestID) throws -> LanguageInbox.Item
    ) -> RequestID {
        let id = lastID.add(1, ordering: .relaxed).newValue
        // Background work leaves half of the queue to those that somebody waits for.
        let most = isBackground ? max(1, bounds.waiting / 2) : bounds.waiting
        guard inbox.reserve(answers, upTo: most) else {
            failed(
                MartletError(
                    .unavailable,
                    "\(name) has no room for \(answers) more of the \(most) answers that may wait; "
                        + "try again in a moment"))
            return id
        }
        unread.withLock { $0[id] = false }
        let refused: @Sendable (MartletError) -> Void = { [self] error in
            inbox.giveBack(answers)
            unread.withLock { $0[id] = nil }
            failed(error)
        }
        prepare(refused) { [self] in
            guard unread.withLock({ $0[id] }) == false else { throw Self.cancelled }
            let item = try read(id)
            // With the lock held, so that whoever cancels finds the request either here or behind it in the inbox.
            try unread.withLock { unread in
                guard unread.removeValue(forKey: id) == false else { throw Self.cancelled }
                guard inbox.put(item) else { throw leaving }
            }
        }
        return id
    }

    private static var cancelled: MartletError {
        MartletError(.cancelled, "the request was cancelled before it was started")
    }

    /// Nobody waits for the answer any more: its place is free from the next pass on.
    public func cancel(_ id: RequestID) {
        let isUnread = unread.withLock { unread in
            guard unread[id] != nil else { return false }
            unread[id] = true
            return true
        }
        if !isUnread { _ = inbox.put(.cancel(id)) }
    }

    /// Vectors of texts, each of length 1.
    /// - Returns: the name by which it can be cancelled; it fails then.
    @discardableResult
    public func embed(
        _ request: EmbeddingRequest,
        done: @escaping @Sendable (Result<(reply: EmbeddingReply, vectors: [[Float]]), MartletError>) -> Void
    ) -> RequestID {
        accept(answers: 0) {
            done(.failure($0))
        } read: { [self] id in
            guard bounds.sourceLength == nil else {
                throw MartletError(
                    .invalidRequest, "\(name) writes texts and makes no vectors; ask it at /v1/completions",
                    param: "model")
            }
            if let fault = bounds.vectorFault {
                throw MartletError(.invalidRequest, "\(name) makes no vectors: \(fault.message)", param: "model")
            }
            guard !request.inputs.isEmpty else {
                throw MartletError(.invalidRequest, "input is empty; give at least one text", param: "input")
            }
            let inputs = try request.inputs.map { input in
                let tokens =
                    switch input {
                    case .text(let text): try encode(text, special: true, param: "input")
                    case .tokens(let tokens): try checked(tokens, param: "input")
                    }
                guard !tokens.isEmpty else {
                    throw MartletError(.invalidRequest, "an input is empty; give each some text", param: "input")
                }
                guard tokens.count <= bounds.contextLength else { throw tooLong(tokens.count, "input") }
                return tokens
            }
            let adapter = try request.adapter.map(lease)
            return .embed(
                EmbeddingWork(id: id, inputs: inputs, adapter: adapter) { result in
                    done(result.flatMap { vectors in Self.embedded(vectors, inputs, request.dimensions) })
                })
        }
    }

    /// The tokens of a text or of a conversation's prompt.
    public func tokenize(
        _ request: TokenizeRequest, done: @escaping @Sendable (Result<TokenizeReply, MartletError>) -> Void
    ) {
        prepare({ done(.failure($0)) }) { [self] in
            let tokens =
                switch request.input {
                case .text(let text): try self.text.encode(text, request.addSpecialTokens)
                case .chat(let messages, let tools):
                    try self.text.encode(
                        rendered(
                            messages.wrappedValue.array ?? [], tools.wrappedValue.array ?? [],
                            request.templateVariables),
                        request.addSpecialTokens)
                }
            done(.success(TokenizeReply(tokens: tokens, contextLength: bounds.textLength)))
        }
    }

    /// The text of tokens.
    public func detokenize(
        _ tokens: [Int], done: @escaping @Sendable (Result<DetokenizeReply, MartletError>) -> Void
    ) {
        prepare({ done(.failure($0)) }) { [self] in
            let tokens = try self.checked(tokens, param: "tokens").map { Int($0) }
            done(.success(DetokenizeReply(text: try text.decode(tokens))))
        }
    }

    /// Answered between two passes of the model: a real sign of life.
    public func ping(_ done: @escaping @Sendable () -> Void) {
        if !inbox.put(.ping(done)) { done() }
    }

    /// Takes nothing more; `run` returns when all answers have ended.
    public func drain() { inbox.drain() }

    /// Answers until drained. Runs on the compute thread.
    public func run(_ model: LoadedLanguageModel, gather: @escaping Gather = { $0() }) {
        model.engine.run(inbox, gather: gather)
    }

    /// The same for an encoder.
    public func run(_ encoder: LoadedEncoder) {
        encoder.run(inbox)
    }

    /// The same for a model that reads a source before it writes.
    public func run(_ model: LoadedSourceModel, gather: @escaping Gather = { $0() }) {
        model.engine.run(inbox, gather: gather)
    }

    private func prepare(
        _ failed: @escaping @Sendable (MartletError) -> Void, _ body: @escaping @Sendable () throws -> Void
    ) {
        let count = preparing.add(1, ordering: .relaxed).newValue
        guard count <= bounds.preparing else {
            preparing.subtract(1, ordering: .relaxed)
            return failed(
                MartletError(
                    .unavailable, "\(name) has \(bounds.preparing) requests to read already; try again in a moment"))
        }
        preparation.addOperation { [self] in
            defer { preparing.subtract(1, ordering: .relaxed) }
            do { try body() } catch { failed(ServingFailure.wire(error)) }
        }
    }

    private var leaving: MartletError {
        MartletError(.unavailable, "\(name) is being taken out of service; try again in a moment")
    }

    private static func embedded(
        _ vectors: [[Float]], _ inputs: [[Int32]], _ dimensions: Int?
    ) -> Result<(reply: EmbeddingReply, vectors: [[Float]]), MartletError> {
        let full = vectors.first?.count ?? 0
        let width = dimensions ?? full
        guard width >= 1, width <= full else {
            return .failure(
                MartletError(
                    .invalidRequest, "dimensions is \(width); this model's vectors have \(full)", param: "dimensions"))
        }
        let cut = vectors.map { vector in
            guard width < full else { return vector }
            let part = vector.prefix(width)
            let length = part.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            return length > 0 ? part.map { Float(Double($0) / length) } : Array(part)
        }
        let tokens = inputs.reduce(0) { $0 + $1.count }
        return .success((EmbeddingReply(width: width, tokens: tokens), cut))
    }
}
