import Foundation
import HTTPTypes
import MartletPlatform
import NIOCore

/// What is refused without a task.
extension Gateway {
    /// A request that might be refused for want of room, as far as its head tells.
    struct Candidate {
        let head: HTTPRequest
        let routeIndex: Int
        let identity: Principal
        let admission: Route.Admission
        let arrival: UInt64
    }

    /// Nil where the head says that the request goes the usual way, by whose words everything else is refused.
    func candidate(_ head: HTTPRequest) -> Candidate? {
        let headers = head.headerFields
        guard let path = head.path, case .route(let index, _) = table.match(head.method.rawValue, path[...]),
            let admission = table.routes[index].admission, headers.announced > 0, !Self.hasLargeBody(headers),
            headers[.expect] == nil, headers[.connection].map({ $0.lowercased() == "keep-alive" }) ?? true,
            (try? hosts.check(host: head.authority, origin: headers[.origin])) != nil,
            let identity = authentication.remembered(headers), table.routes[index].policy.allows(identity.role)
        else { return nil }
        return Candidate(
            head: head, routeIndex: index, identity: identity, admission: admission,
            arrival: DispatchTime.now().uptimeNanoseconds)
    }

    /// The whole answer to a request that there is no room for; nil where it goes on.
    func refusal(of candidate: Candidate, body: ByteBuffer) -> (head: HTTPResponse, body: ByteBuffer)? {
        do {
            try body.withUnsafeReadableBytes { try candidate.admission(candidate.identity, $0) }
            return nil
        } catch {
            let failure = Failure.known(error), requestID = requestID(candidate.head.headerFields)
            let dialect = table.routes[candidate.routeIndex].dialect
            let text = ByteBuffer(string: Failure.body(failure, dialect: dialect))
            var head = HTTPResponse(status: .init(code: failure.httpStatus), headerFields: Failure.headers(failure))
            head.headerFields[.contentLength] = String(text.readableBytes)
            addHeaders(
                to: &head.headerFields, of: candidate.head, requestID: requestID, arrival: candidate.arrival)
            lastUse.store(DispatchTime.now().uptimeNanoseconds, ordering: .relaxed)
            finish(
                candidate.head.method, requestID: requestID, arrival: candidate.arrival, status: failure.httpStatus,
                Outcome(
                    routeIndex: candidate.routeIndex, identity: candidate.identity, error: failure.code.rawValue))
            return (head, text)
        }
    }
}
