import MartletWire
import Synchronization

/// A request that the server makes of itself for work that nobody waits for: a batch's line, an eval's sample.
public struct InnerRequest: Sendable {
    public var method: String
    /// `/v1/chat/completions` and the like, without a query.
    public var path: String
    public var body: JSON
    /// Who pays.
    public var principal: Principal
    /// Whether it waits for the gaps of those that someone waits for.
    public var isBackground: Bool
    /// Of a response that was accepted before, and whose place is kept under this id.
    public var responseID: String?
    /// Where that response's events are told as they come.
    public var log: ResponseLog?
    public init(
        method: String = "POST", path: String, body: JSON, principal: Principal, isBackground: Bool = true,
        responseID: String? = nil, log: ResponseLog? = nil
    ) {
        self.responseID = responseID
        self.log = log
        self.method = method
        self.path = path
        self.body = body
        self.principal = principal
        self.isBackground = isBackground
    }
}

/// What a client would have got.
public struct InnerReply: Sendable {
    public var status: Int
    public var body: JSON
    public var requestID: String
    public init(status: Int, body: JSON, requestID: String) {
        self.status = status
        self.body = body
        self.requestID = requestID
    }
}

/// Answers requests in process, by the code that answers them over HTTP. A cancelled task ends the request.
public protocol RequestExecutor: Sendable {
    func execute(_ request: InnerRequest) async -> InnerReply
}

/// Where the transport leaves its executor; background work begins once it is there.
public final class ExecutorSlot: Sendable {
    private let executor = Mutex<(any RequestExecutor)?>(nil)

    init() {}

    public func set(_ executor: any RequestExecutor) { self.executor.withLock { $0 = executor } }

    func execute(_ request: InnerRequest) async -> InnerReply {
        guard let executor = executor.withLock({ $0 }) else {
            return InnerReply(status: 503, body: [:], requestID: "")
        }
        return await executor.execute(request)
    }
}
