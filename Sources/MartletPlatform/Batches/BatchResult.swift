import MartletStore
import MartletWire

/// The lines of a batch's output and error files, as OpenAI writes them.
enum BatchResult {
    static func line(
        _ line: StoredBatchLine, batch: String, reply: InnerReply
    ) -> (state: StoredBatchLine.State, text: String, tokens: StoredBatch.Tally) {
        let text: JSON = [
            "id": .string(id(line, batch)), "custom_id": .string(line.customID),
            "response": [
                "status_code": JSON(reply.status), "request_id": .string(reply.requestID), "body": reply.body,
            ], "error": nil,
        ]
        return (reply.status < 300 ? .completed : .failed, text.serialized(), tokens(reply.body))
    }

    /// A line that was not run in time.
    static func expired(_ line: StoredBatchLine, batch: String) -> String {
        let text: JSON = [
            "id": .string(id(line, batch)), "custom_id": .string(line.customID), "response": nil,
            "error": [
                "code": "batch_expired",
                "message": "This request could not be executed before the completion window expired.",
            ],
        ]
        return text.serialized()
    }

    /// The same for every try of a line.
    private static func id(_ line: StoredBatchLine, _ batch: String) -> String {
        "batch_req_" + ContentHash.of("\(batch)/\(line.line)").prefix(24)
    }

    /// What an answer says that it used, by either API's names.
    static func tokens(_ body: JSON) -> StoredBatch.Tally {
        var tally = StoredBatch.Tally()
        guard let usage = body["usage"] else { return tally }
        func count(_ value: JSON?) -> Int { min(max(0, value?.int ?? 0), Int(Int32.max)) }
        tally.inputTokens = count(usage["prompt_tokens"] ?? usage["input_tokens"])
        tally.outputTokens = count(usage["completion_tokens"] ?? usage["output_tokens"])
        let details = usage["prompt_tokens_details"] ?? usage["input_tokens_details"]
        tally.cachedTokens = count(details?["cached_tokens"])
        return tally
    }
}
