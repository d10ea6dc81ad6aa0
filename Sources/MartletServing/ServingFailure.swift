import MartletTensor
import MartletWire

/// What a client is told of whatever went wrong.
enum ServingFailure {
    static func wire(_ error: any Error) -> MartletError {
        if let error = error as? MartletError { return error }
        if let error = error as? TensorError { return error.martletError }
        return MartletError(.internal, "the model failed on this request; see the log of its replica")
    }
}
