import MartletStore
import MartletWire

/// Asks a model what a grader wants to hear, by the code that answers chats over HTTP.
struct ModelAsker: Sendable {
    let executor: ExecutorSlot
    let clock: PlatformClock
    /// Where the caller has a place, which others may have while it waits for the model.
    let gate: BackgroundGate

    /// The answer's text and tokens. It waits for a place, since what is being graded must not be made again.
    ///
    /// - Parameter body: as `POST /v1/chat/completions` takes it.
    /// Throws what the model's server said instead, and `CancellationError`.
    func ask(_ body: JSON, by principal: Principal) async throws -> (text: String, tokens: StoredBatch.Tally) {
        var pause = WorkPace.shortestPause
        var tries = 0
        while true {
            let reply = await executor.execute(
                InnerRequest(path: "/v1/chat/completions", body: body, principal: principal))
            try Task.checkCancellation()
            if WorkPace.isWorthAnother(reply, tries: tries) {
                if !WorkPace.isHeld(reply) { tries += 1 }
                let (clock, time) = (self.clock, pause)
                try await gate.lendPlace { try await clock.sleep(.milliseconds(time)) }
                pause = min(WorkPace.longestPause, pause * 2)
                continue
            }
            try Self.check(reply)
            let text = reply.body["choices"]?.array?.first?["message"]?["content"]?.string ?? ""
            return (text, BatchResult.tokens(reply.body))
        }
    }

    /// Throws the error that a reply holds.
    static func check(_ reply: InnerReply) throws {
        guard reply.status >= 300 else { return }
        let error = reply.body["error"]
        throw MartletError(
            error?["code"]?.string.flatMap { MartletError.Code(rawValue: $0) } ?? .internal,
            error?["message"]?.string ?? "the model could not be asked (status \(reply.status))")
    }
}
