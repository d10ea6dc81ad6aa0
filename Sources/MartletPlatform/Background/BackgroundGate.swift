/// A bound on the background requests of all batches and evals that are under way at once, first come first served.
actor BackgroundGate {
    private let limit: Int
    private var used = 0
    private var waiting: [(id: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    private var nextID = 0

    init(limit: Int) { self.limit = limit }

    /// False where the caller was cancelled before it had a place; then there is nothing to release.
    func acquire() async -> Bool {
        guard !Task.isCancelled else { return false }
        guard used >= limit else {
            used += 1
            return true
        }
        let id = nextID
        nextID += 1
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(returning: false)
                } else {
                    waiting.append((id, continuation))
                }
            }
        } onCancel: {
            Task { await self.leave(id) }
        }
    }

    /// The place goes to whoever waits longest.
    func release() {
        if waiting.isEmpty {
            used -= 1
        } else {
            waiting.removeFirst().continuation.resume(returning: true)
        }
    }

    /// Gives the caller's place up while it waits for something else. It has one again when this returns or throws.
    func lendPlace(while wait: @Sendable () async throws -> Void) async throws {
        release()
        do {
            try await wait()
        } catch {
            used += 1
            throw error
        }
        guard await acquire() else {
            // The caller gives back what it thinks it has.
            used += 1
            throw CancellationError()
        }
    }

    private func leave(_ id: Int) {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return }
        waiting.remove(at: index).continuation.resume(returning: false)
    }
}
