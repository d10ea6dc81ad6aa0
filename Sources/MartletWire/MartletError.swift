/// What went wrong, in words for the person who can mend it.
///
/// One type for both sides: the engine sends it over the wire, the platform turns the code into an HTTP status
/// (`httpStatus`) and the command line into an exit code (`exitCode`). The message names the thing, the value and
/// the remedy, and never holds a stack, a path of the server or SQL.
public struct MartletError: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    /// The classes of failure that a caller can tell apart.
    public enum Code: String, Codable, Sendable, CaseIterable {
        case invalidRequest = "invalid_request"
        case invalidData = "invalid_data"
        case invalidRecipe = "invalid_recipe"
        case unauthenticated = "invalid_api_key"
        case forbidden = "permission_denied"
        case notFound = "not_found"
        case conflict
        case tooLarge = "too_large"
        case unsupportedFormat = "unsupported_format"
        case rateLimited = "rate_limit_exceeded"
        /// The project's budget is spent.
        case insufficientQuota = "insufficient_quota"
        /// An Idempotency-Key came again with another body.
        case idempotencyKeyReused = "idempotency_key_reused"
        case deadlineExceeded = "deadline_exceeded"
        case unavailable = "service_unavailable"
        case storageFull = "storage_full"
        case outOfMemory = "out_of_memory"
        case diverged = "training_diverged"
        case cancelled
        case requirementNotMet = "requirement_not_met"
        /// A tuned model does not answer in serving as it did in training.
        case parityCheckFailed = "parity_check_failed"
        case headersTooLarge = "headers_too_large"
        /// A prompt, or a prompt with the answer that was asked for, does not fit in the model's context.
        case contextLengthExceeded = "context_length_exceeded"
        /// No deployment or model has this name.
        case modelNotFound = "model_not_found"
        case usage
        case `internal` = "internal_error"
    }

    public var code: Code
    public var message: String
    /// The field, column or key at fault, where there is one.
    public var param: String?

    public init(_ code: Code, _ message: String, param: String? = nil) {
        self.code = code
        self.message = message
        self.param = param
    }

    public var description: String { message }

    /// The one table from codes to HTTP statuses.
    public var httpStatus: Int {
        switch code {
        case .invalidRequest, .invalidData, .invalidRecipe, .usage, .contextLengthExceeded: 400
        case .unauthenticated: 401
        case .forbidden: 403
        case .notFound, .modelNotFound: 404
        case .conflict: 409
        case .tooLarge: 413
        case .unsupportedFormat: 415
        case .requirementNotMet, .diverged, .parityCheckFailed, .idempotencyKeyReused: 422
        case .rateLimited, .insufficientQuota: 429
        case .headersTooLarge: 431
        case .cancelled: 499
        case .internal: 500
        case .unavailable, .outOfMemory: 503
        case .deadlineExceeded: 504
        case .storageFull: 507
        }
    }

    /// The one table from codes to the exit codes of the command line (sysexits where they fit).
    public var exitCode: Int32 {
        switch code {
        case .usage: 64
        case .invalidRequest, .invalidData, .invalidRecipe, .unsupportedFormat, .tooLarge, .diverged,
            .requirementNotMet, .parityCheckFailed, .conflict, .headersTooLarge, .contextLengthExceeded,
            .idempotencyKeyReused:
            65
        case .notFound, .modelNotFound: 66
        case .unavailable, .outOfMemory, .storageFull: 69
        case .internal, .cancelled: 70
        case .rateLimited, .deadlineExceeded: 75
        case .unauthenticated, .forbidden, .insufficientQuota: 77
        }
    }
}
