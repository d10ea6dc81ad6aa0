import Synchronization

/// Whether a connection's client has left, for work that is worth nothing without it.
final class Departure: Sendable {
    private struct State {
        var hasHappened = false
        var actions: [Int: @Sendable () -> Void] = [:]
        var nextID = 0
    }
    private let state = Mutex(State())

    /// From the connection's event loop.
    func happened() {
        let actions = state.withLock { state in
            state.hasHappened = true
            defer { state.actions = [:] }
            return state.actions.values.map { $0 }
        }
        for action in actions { action() }
    }

    /// Runs `operation`, and `action` once should the client leave meanwhile, or at once where it has left.
    func watch<Value>(
        isolation: isolated (any Actor)? = #isolation, _ operation: () async throws -> Value,
        onDeparture action: @escaping @Sendable () -> Void
    ) async rethrows -> Value {
        let id: Int? = state.withLock { state in
            guard !state.hasHappened else { return nil }
            defer { state.nextID += 1 }
            state.actions[state.nextID] = action
            return state.nextID
        }
        if id == nil { action() }
        defer { if let id { state.withLock { _ = $0.actions.removeValue(forKey: id) } } }
        return try await operation()
    }

    /// `operation`, cancelled where the client leaves.
    func whileClientStays<Value: Sendable>(
        _ operation: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let task = Task { try await operation() }
        return try await watch {
            try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
        } onDeparture: {
            task.cancel()
        }
    }

    /// Of the connection whose requests are being answered.
    @TaskLocal static var current = Departure()
}
