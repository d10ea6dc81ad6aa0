import Foundation
import MartletStore
import MartletWire

/// Chat completions that clients asked to be kept (`store: true`), each within its project.
public final class ChatCompletionService: Sendable {
    private let store: Store
    private let audit: AuditLog

    init(store: Store, audit: AuditLog) {
        self.store = store
        self.audit = audit
    }

    package func keep(
        _ body: JSON, id: String, model: String, metadata: JSON, messages: JSON, createdAt: Date,
        by principal: Principal
    ) async throws {
        try principal.require(.developer, .inference)
        try await store.insert(
            StoredChatCompletion(
                id: id, projectID: principal.project, createdAt: createdAt, model: model, metadata: metadata,
                body: body,
                messages: messages))
    }

    /// Throws `notFound`, also for another project's.
    package func show(
        _ id: String, param: String? = nil, by principal: Principal
    ) async throws -> StoredChatCompletion {
        try principal.require(.developer, .inference)
        guard let found = try await store.chatCompletion(id, projectID: principal.project) else {
            throw await unknown(id, param: param, by: principal)
        }
        return found
    }

    /// Oldest first unless `isNewestFirst`; those behind `after`.
    package func list(
        _ filter: ChatCompletionFilter, after: String?, limit: Int, isNewestFirst: Bool, by principal: Principal
    ) async throws -> (data: [StoredChatCompletion], hasMore: Bool) {
        try principal.require(.developer, .inference)
        if let after { _ = try await show(after, param: "after", by: principal) }
        let found = try await store.chatCompletions(
            projectID: principal.project, filter: filter, after: after, limit: limit + 1, isNewestFirst: isNewestFirst)
        return (Array(found.prefix(limit)), found.count > limit)
    }

    package func setMetadata(
        _ metadata: JSON, of id: String, by principal: Principal
    ) async throws -> StoredChatCompletion {
        try principal.require(.developer, .inference)
        guard try await store.setMetadata(metadata, ofChatCompletion: id, projectID: principal.project) else {
            throw await unknown(id, param: nil, by: principal)
        }
        return try await show(id, by: principal)
    }

    package func delete(_ id: String, by principal: Principal) async throws {
        try principal.require(.developer, .inference)
        guard try await store.deleteChatCompletion(id, projectID: principal.project) else {
            throw await unknown(id, param: nil, by: principal)
        }
    }

    /// The same for another project's, which is written down.
    private func unknown(_ id: String, param: String?, by principal: Principal) async -> MartletError {
        await audit.noteForeign(.chatCompletion, id, by: principal)
        return MartletError(
            .notFound,
            "there is no stored chat completion '\(id.prefix(80))'; only those made with store: true are kept",
            param: param)
    }
}
