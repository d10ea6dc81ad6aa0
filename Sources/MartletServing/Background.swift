import Foundation
import Synchronization

/// A value that a thread of its own makes.
final class Background<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, any Error>?>(nil)
    private let done = DispatchSemaphore(value: 0)

    init(_ body: @escaping @Sendable () throws -> Value) {
        let thread = Thread { [self] in
            let made = Result { try body() }
            result.withLock { $0 = made }
            done.signal()
        }
        // Parsers of nested text recurse; a secondary thread has 512 KiB.
        thread.stackSize = 8 << 20
        thread.start()
    }

    /// Waits until it is made. Throws what `body` threw.
    func value() throws -> Value {
        done.wait()
        done.signal()
        guard let made = result.withLock({ $0 }) else { throw CancellationError() }
        return try made.get()
    }
}
