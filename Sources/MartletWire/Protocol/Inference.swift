public struct InferenceRequest: Codable, Sendable {
    public enum API: String, Codable, Sendable {
        /// `{"rows":[{column: value}]}` → `{"predictions":[…]}`.
        case predict
        /// Open Inference Protocol, JSON or binary tensors by `headerLength`.
        case openInference = "open_inference"
        /// The body is one image or audio file.
        case file
    }
    public var api: API
    /// The name that the client asked, which its answer carries; nil is the model's own.
    public var model: String?
    /// `Inference-Header-Content-Length`, where the client sent it.
    public var headerLength: Int?
    /// Microseconds from the request's arrival after which nobody waits for the answer.
    public var deadlineMicroseconds: Int?
    public init(api: API, model: String? = nil, headerLength: Int? = nil, deadlineMicroseconds: Int? = nil) {
        self.api = api
        self.model = model
        self.headerLength = headerLength
        self.deadlineMicroseconds = deadlineMicroseconds
    }
}

public struct InferenceReply: Codable, Sendable {
    public var contentType: String
    /// Where the answer has binary tensors.
    public var headerLength: Int?
    public var rows: Int
    public var queueMicroseconds: Int
    public var computeMicroseconds: Int
    public init(
        contentType: String = "application/json", headerLength: Int? = nil, rows: Int, queueMicroseconds: Int,
        computeMicroseconds: Int
    ) {
        self.contentType = contentType
        self.headerLength = headerLength
        self.rows = rows
        self.queueMicroseconds = queueMicroseconds
        self.computeMicroseconds = computeMicroseconds
    }
}

extension InferenceReply {
    /// What `JSONEncoder.wire` would give, without it: this is on the path of every request.
    public var head: [UInt8] {
        var json = "{\"computeMicroseconds\":\(computeMicroseconds),\"contentType\":"
        JSON.quote(contentType, to: &json)
        if let headerLength { json += ",\"headerLength\":\(headerLength)" }
        json += ",\"queueMicroseconds\":\(queueMicroseconds),\"rows\":\(rows)}"
        return Array(json.utf8)
    }
}
