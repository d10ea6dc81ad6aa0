import Foundation
import HTTPTypes
import Hummingbird
import MartletWire
import NIOCore

/// Turns errors into responses, in the words of each API. Nothing that we did not write ourselves reaches a client.
package enum Failure {
    /// `error` as a `MartletError`; what is not one is our own fault and says no more than that.
    static func known(_ error: any Error) -> MartletError {
        switch error {
        case let error as MartletError: error
        case let error as DecodingError: MartletError(.invalidRequest, error.plainMessage, param: error.path)
        case is CancellationError: MartletError(.unavailable, "the server is stopping; try again in a moment")
        default: MartletError(.internal, "something failed in the server; its log has more under this request's id")
        }
    }

    static func response(_ error: MartletError, dialect: Route.Dialect) -> Response {
        Response(
            status: .init(code: error.httpStatus), headers: headers(error),
            body: .init(byteBuffer: ByteBuffer(string: body(error, dialect: dialect))))
    }

    static func headers(_ error: MartletError) -> HTTPFields {
        var headers: HTTPFields = [.contentType: "application/json"]
        if error.code == .insufficientQuota {
            // It takes a person, or another month.
            headers[.retryAfter] = "120"
            headers[.shouldRetry] = "false"
        } else if error.code == .rateLimited || error.httpStatus == 503 {
            headers[.retryAfter] = "1"
            headers[.retryAfterMilliseconds] = "500"
            headers[.shouldRetry] = "true"
        } else if error.httpStatus < 500 {
            // Asking the same again gives the same; clients repeat a conflict unless they are told.
            headers[.shouldRetry] = "false"
        }
        if error.code == .unauthenticated { headers[.wwwAuthenticate] = "Bearer" }
        return headers
    }

    package static func body(_ error: MartletError, dialect: Route.Dialect) -> String {
        switch dialect {
        case .openInference: return JSON.object(["error": .string(error.message)]).serialized()
        case .native: return document(error).serialized()
        }
    }

    /// As OpenAI's API has it.
    static func document(_ error: MartletError) -> JSON {
        [
            "error": [
                "message": .string(error.message), "type": .string(type(of: error)),
                "param": error.param.map { .string($0) } ?? .null, "code": .string(error.code.rawValue),
            ]
        ]
    }

    /// OpenAI's coarse classes.
    private static func type(of error: MartletError) -> String {
        if error.code == .insufficientQuota { return "insufficient_quota" }
        return switch error.httpStatus {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 429: "rate_limit_error"
        case 400..<500: "invalid_request_error"
        default: "server_error"
        }
    }
}
