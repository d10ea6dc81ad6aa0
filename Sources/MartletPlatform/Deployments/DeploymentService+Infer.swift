import Foundation
import MartletStore
import MartletWire

extension DeploymentService {
    /// Answers one request; `model` is a deployment, a model (its newest version) or `name@version`.
    ///
    /// The body goes to the replica as it came. Throws `notFound`, `unavailable` (no replica, or all queues full),
    /// `deadlineExceeded`, and what the replica throws.
    public nonisolated func infer(
        model: String, request: InferenceRequest, body: [UInt8], by principal: Principal
    ) async throws -> (InferenceReply, [UInt8]) {
        try principal.require(.developer, .inference)
        try budgets.check(principal.project)
        let arrival = ContinuousClock.now
        let route = try await route(to: model, by: principal)
        let (group, limit) = (route.group, route.wait)
        guard !group.model.signature.isLanguage else {
            throw MartletError(
                .invalidRequest,
                "'\(model.prefix(200))' is a language model; ask it at /v1/chat/completions or "
                    + "/v1/completions", param: "model")
        }
        var request = request
        let allowed = environment.configuration.requestTimeoutSeconds * 1_000_000
        let total = min(max(request.deadlineMicroseconds ?? allowed, 0), allowed)
        let (replica, connection) = try await group.acquire(waitingUpTo: limit, deadline: .microseconds(total))
        defer { group.release(replica) }

        let spent = arrival.duration(to: .now)
        guard spent < .microseconds(total) else {
            throw ReplicaGroup.late(model)
        }
        // Under a millisecond is nothing, and leaves the head of the message the same as the last one's.
        let lost = spent < .milliseconds(1) ? 0 : Int(spent / .microseconds(1))
        request.deadlineMicroseconds = total - lost
        let answer: EngineConnection.Answer
        do {
            answer = try await connection.request(head: try heads.head(request), body: body)
        } catch is CancellationError {
            throw MartletError(.cancelled, "the client left before the answer was there")
        }
        let reply = try heads.reply(answer.head)
        ledger.count(
            by: principal, kind: "inference", resource: group.reference, rows: reply.rows,
            cpuSeconds: Double(reply.computeMicroseconds) / 1e6)
        return (reply, answer.body)
    }
}
