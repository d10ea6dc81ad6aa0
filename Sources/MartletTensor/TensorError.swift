import CTorch
import MartletWire

/// What a tensor operation could not do: a class of failure, libtorch's words, and the operator.
public struct TensorError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The classes of failure that a caller can tell apart.
    public enum Code: String, Sendable { case outOfMemory, index, value, type, other }

    public var code: Code
    public var message: String
    /// The schema name of the operator, where one was called.
    public var operation: String?

    public init(_ code: Code, _ message: String, operation: String? = nil) {
        self.code = code
        self.message = message
        self.operation = operation
    }

    public var description: String {
        operation.map { "\($0): \(message)" } ?? message
    }

    /// The same as the platform's error: only running out of memory is something that a user can mend.
    public var martletError: MartletError {
        MartletError(code == .outOfMemory ? .outOfMemory : .internal, description)
    }

    /// Takes over and frees libtorch's error.
    init(taking error: ct_error, operation: String? = nil) {
        defer { ct_error_free(error) }
        let code: Code =
            switch Int(ct_error_code(error)) {
            case CT_ERROR_OUT_OF_MEMORY: .outOfMemory
            case CT_ERROR_INDEX: .index
            case CT_ERROR_VALUE: .value
            case CT_ERROR_TYPE: .type
            default: .other
            }
        self.init(code, String(cString: ct_error_message(error)), operation: operation)
    }
}

/// Throws what a call of the shim gave back, if it gave something.
@inline(__always)
func check(_ error: ct_error?, _ operation: @autoclosure () -> String? = nil) throws {
    if let error { throw TensorError(taking: error, operation: operation()) }
}
