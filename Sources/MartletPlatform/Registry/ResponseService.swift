import Foundation
import MartletStore
import MartletWire

/// Answers that clients asked to be kept (`store: true`), each within its project.
public final class ResponseService: Sendable {
    /// A kept answer with what led to it.
    public struct Kept: Sendable, Equatable {
        /// The response as the client got it.
        public var body: JSON
        /// The input items of its request.
        public var input: JSON
        /// The messages of the whole conversation, the answer's own last.
        public var conversation: JSON
        public init(body: JSON, input: JSON, conversation: JSON) {
            self.body = body
            self.input = input
            self.conversation = conversation
        }
    }
    private let store: Store
    private let audit: AuditLog
    private let clock: PlatformClock

    init(store: Store, audit: AuditLog, clock: PlatformClock) {
        self.store = store
        self.audit = audit
        self.clock = clock
    }

    public func keep(_ response: Kept, id: String, createdAt: Date, by principal: Principal) async throws {
        try principal.require(.developer, .inference)
        try await store.insert(
            StoredResponse(
                id: id, projectID: principal.project, createdAt: createdAt, body: response.body,
                input: response.input, conversation: response.conversation))
    }

    /// Ends a response of the background with its answer and what that used; nothing where it was cancelled meanwhile.
    /// While the disk is full it waits for room. Where it is streamed, `stream` has its events and the last of them.
    public func finish(
        _ response: Kept, background id: String, stream: (log: ResponseLog, last: String)? = nil,
        by principal: Principal
    ) async throws {
        let usage = principal.tab?.close() ?? []
        let store = store
        var events: (@Sendable (JSON) -> ResponseEvents)?
        if let (log, last) = stream { events = { _ in log.whole(endingWith: last) } }
        try await WorkPace.insist(clock) {
            _ = stream?.log.hold()
            let body = try await store.change(
                background: id, ends: true, conversation: response.conversation, usage: usage, events: events
            ) { queued in
                var body = response.body.object ?? [:]
                body["created_at"] = queued["created_at"]
                return body
            }
            if body != nil, let stream { stream.log.finish(stream.last) }
        }
    }

    /// Throws `notFound`, also for another project's.
    public func show(_ id: String, param: String? = nil, by principal: Principal) async throws -> Kept {
        try principal.require(.developer, .inference)
        guard let found = try await store.response(id, projectID: principal.project) else {
            throw await unknown(id, param: param, by: principal)
        }
        return Kept(body: found.body, input: found.input, conversation: found.conversation)
    }

    public func delete(_ id: String, by principal: Principal) async throws {
        try principal.require(.developer, .inference)
        guard try await store.deleteResponse(id, projectID: principal.project) else {
            throw await unknown(id, param: nil, by: principal)
        }
    }

    /// The same for another project's, which is written down.
    private func unknown(_ id: String, param: String?, by principal: Principal) async -> MartletError {
        await audit.noteForeign(.response, id, by: principal)
        return MartletError(
            .notFound,
            "there is no stored response '\(id.prefix(80))'; only those made with store: true are kept", param: param)
    }
}
