import Foundation
import HTTPTypes
import HummingbirdCore
import MartletPlatform
import MartletWire
import Synchronization

/// The one way from a request to its answer: host, route, key, role, handler, error, metrics, log.
final class Gateway: Sendable {
    let table: RouteTable
    let metrics: ServerMetrics
    let authentication: Authentication
    let hosts: HostCheck
    private let limits: ServerLimits
    private let log: RequestLog
    private let dates = SecondText(SecondText.http)
    private let requestCount = Atomic<UInt64>(0)
    private let requestPrefix: String
    /// Monotonic nanoseconds of the last request that was not about health, and requests being answered.
    let lastUse = Atomic<UInt64>(DispatchTime.now().uptimeNanoseconds)
    private let openCount = Atomic<Int>(0)

    init(
        table: RouteTable, metrics: ServerMetrics, keys: KeyService, hosts: HostCheck, limits: ServerLimits,
        log: RequestLog
    ) throws {
        self.table = table
        self.metrics = metrics
        authentication = Authentication(keys: keys)
        self.hosts = hosts
        self.limits = limits
        self.log = log
        requestPrefix = try "req_" + [UInt8].random(count: 6).hex
    }

    /// Seconds since anyone wanted something; zero while a request is being answered.
    var idleSeconds: Double {
        guard openCount.load(ordering: .relaxed) == 0 else { return 0 }
        let now = DispatchTime.now().uptimeNanoseconds, last = lastUse.load(ordering: .relaxed)
        return now > last ? Double(now - last) / 1e9 : 0
    }

    /// What the log and the metrics need to know of a request.
    struct Outcome {
        var routeIndex: Int?
        var identity: Principal?
        var error: String?
    }

    /// Called on the connection's event loop, where only what is quick stays.
    func respond(to request: Request, writer: consuming ResponseWriter) async throws {
        let path = request.head.path ?? "/"
        let match = table.match(request.method.rawValue, path.prefix { $0 != "?" })
        if case .route(let index, _) = match, table.routes[index].isQuick, !Self.hasLargeBody(request.headers) {
            return try await respond(to: request, match, writer: writer)
        }
        var writer = Optional(writer)
        try await withTaskExecutorPreference(globalConcurrentExecutor) {
            guard let writer = writer.take() else { return }
            try await respond(to: request, match, writer: writer)
        }
    }

    private func respond(
        to request: Request, _ match: RouteTable.Match, writer: consuming ResponseWriter
    ) async throws {
        let arrival = DispatchTime.now().uptimeNanoseconds
        let requestID = self.requestID(request.headers)
        var outcome = Outcome()
        openCount.add(1, ordering: .relaxed)
        defer {
            openCount.subtract(1, ordering: .relaxed)
            if outcome.identity != nil { lastUse.store(DispatchTime.now().uptimeNanoseconds, ordering: .relaxed) }
        }
        if request.headers[.expect]?.lowercased() == "100-continue", !limits.refusesAny(byteCount: request.announced) {
            try await writer.writeInformationalHead(HTTPResponse(status: .continue))
        }
        var response = await answer(request, match, requestID: requestID, arrival: arrival, &outcome)
        addHeaders(to: &response.headers, of: request.head, requestID: requestID, arrival: arrival)
        if response.status.code >= 400, Self.hasLargeBody(request.headers) { response.headers[.connection] = "close" }
        if request.method == .head { response = response.createHeadResponse() }
        let status = response.status.code
        defer { finish(request.method, requestID: requestID, arrival: arrival, status: status, outcome) }
        try await writer.write(response: response.head, body: response.body)
    }

    /// What OpenAI's clients ask for where their base URL is not the one that they take.
    private static func hint(_ path: Substring) -> String {
        let resources = ["/chat/completions", "/completions", "/embeddings", "/responses", "/models"]
        let rest = path.hasPrefix("/v1/v1/") ? path.dropFirst(6) : path
        let isMeant = resources.contains { rest == $0 || rest.hasPrefix($0 + "/") }
        return isMeant ? "; the base_url of OpenAI's clients ends with /v1, once" : ""
    }

    private func answer(
        _ request: Request, _ match: RouteTable.Match, requestID: String, arrival: UInt64, _ outcome: inout Outcome
    ) async -> Response {
        let path = request.head.path ?? "/"
        let bare = path.prefix { $0 != "?" }
        var dialect: Route.Dialect = path.hasPrefix("/v2") ? .openInference : .native
        do {
            try hosts.check(host: request.head.authority, origin: request.headers[.origin])
            if let headers = hosts.crossOrigin.answer(to: request.head) {
                return Response(status: .noContent, headers: headers)
            }
            switch match {
            case .none:
                throw NotOffered.error(request.method.rawValue, bare)
                    ?? MartletError(
                        .notFound,
                        "there is nothing at \(request.method) \(bare.prefix(200)); see /openapi.json"
                            + Self.hint(bare))
            case .otherMethods(let methods):
                if let error = NotOffered.error(request.method.rawValue, bare) { throw error }
                var response = Failure.response(
                    MartletError(
                        .invalidRequest, "\(request.method) is not taken here; use \(methods.joined(separator: ", "))"),
                    dialect: dialect)
                response.status = .methodNotAllowed
                response.headers[.allow] = methods.joined(separator: ", ")
                return response
            case .route(let index, let parameters):
                let route = table.routes[index]
                outcome.routeIndex = index
                dialect = route.dialect
                if route.policy != .everyone {
                    let identity = try await authentication.identify(request)
                    outcome.identity = identity
                    guard route.policy.allows(identity.role) else {
                        throw MartletError(
                            .forbidden,
                            "a key with the role '\(identity.role.rawValue)' may not do this; use another key")
                    }
                }
                return try await route.handler(
                    Call(
                        request: request, parameters: parameters, requestID: requestID, limits: limits,
                        arrival: arrival, identity: outcome.identity, admission: route.admission))
            }
        } catch {
            let failure = Failure.known(error)
            outcome.error = failure.code == .internal ? String(describing: error) : failure.code.rawValue
            return Failure.response(failure, dialect: dialect)
        }
    }

    func finish(
        _ method: HTTPRequest.Method, requestID: String, arrival: UInt64, status: Int, _ outcome: Outcome
    ) {
        let microseconds = (DispatchTime.now().uptimeNanoseconds &- arrival) / 1000
        metrics.record(route: outcome.routeIndex, status: status, microseconds: microseconds)
        let route = outcome.routeIndex.map { table.routes[$0] }
        log.write(
            RequestLog.Line(
                requestID: requestID, method: method.rawValue, route: route?.path ?? "", status: status,
                microseconds: microseconds, key: outcome.identity?.keyID, project: outcome.identity?.projectName,
                error: outcome.error),
            status: status, isLogged: route?.isLogged ?? true)
    }

    func addHeaders(to headers: inout HTTPFields, of request: HTTPRequest, requestID: String, arrival: UInt64) {
        headers[.requestID] = requestID
        headers[.date] = dates.now
        hosts.crossOrigin.mark(&headers, for: request.headerFields[.origin])
        if request.path?.hasPrefix("/v1/") ?? false {
            let elapsed = (DispatchTime.now().uptimeNanoseconds &- arrival) / 1_000_000
            headers[.processingMilliseconds] = String(elapsed)
        }
    }

    /// The client's own id where it is a modest one, else a new one.
    func requestID(_ headers: HTTPFields) -> String {
        if let given = headers[.requestID], (1...128).contains(given.utf8.count),
            given.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") })
        {
            return given
        }
        return requestPrefix + String(requestCount.add(1, ordering: .relaxed).newValue, radix: 16)
    }

    /// Whether the body takes long to read: an answer that did not had better close than wait for the rest.
    static func hasLargeBody(_ headers: HTTPFields) -> Bool {
        if headers[.transferEncoding] != nil || headers[.contentEncoding] != nil { return true }
        return headers.announced > 64 << 10
    }
}
