import MartletWire

/// What OpenAI publishes and Martlet does not have, by the start of its path, with what to use in its place: a client
/// that calls it learns why instead of only that there is nothing.
enum NotOffered {
    private static let text = "models here answer with text; send text and read text"
    private static let operated =
        "who may do what is set with `martlet projects`, `martlet keys` and `martlet budget`, or under /api/v1"
    private static let loop = "keep the loop in your own program, over /v1/responses or /v1/chat/completions with tools"
    private static let reasons: [(start: String, why: String)] = [
        ("/v1/responses/compact", "send the items that matter, or set truncation: auto"),
        ("/v1/conversations", "go on from a kept response with previous_response_id"),
        ("/v1/moderations", "there is no moderation model here; serve a classifier and call it"),
        ("/v1/content_provenance_checks", "nothing made here carries marks to check"),
        ("/v1/safety", "there are no safety cases here; the log of who did what is at /api/v1/audit"),
        ("/v1/decisions", loop),
        ("/v1/images", text), ("/v1/audio", text), ("/v1/videos", text),
        ("/v1/realtime", "ask /v1/chat/completions with stream: true"),
        ("/v1/live", "ask /v1/chat/completions with stream: true"),
        ("/v1/assistants", loop), ("/v1/threads", loop), ("/v1/agents", loop), ("/v1/chatkit", loop),
        ("/v1/skills", loop), ("/v1/vaults", "secrets of tools stay with the program that calls them"),
        ("/v1/containers", "nothing but models runs here; run tools in your own program"),
        ("/v1/vector_stores", "make vectors with /v1/embeddings and keep them in a store of your own"),
        ("/v1/fine_tuning/checkpoints", "a checkpoint belongs to its project's keys; nothing is shared beyond it"),
        ("/v1/webhook_endpoints", "the operator names them in the configuration; see `martlet config`"),
        ("/v1/webhook_event_types", "the operator names webhooks in the configuration; see `martlet config`"),
        ("/v1/organization", operated), ("/v1/projects", operated),
    ]

    /// The error for a path of these; nil for all others.
    static func error(_ method: String, _ path: Substring) -> MartletError? {
        let reason = reasons.first { path == $0.start || path.hasPrefix($0.start + "/") }
        return reason.map { MartletError(.notFound, "\(method) \(path.prefix(200)) is not offered: \($0.why)") }
    }
}
