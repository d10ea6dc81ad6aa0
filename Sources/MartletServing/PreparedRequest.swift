import MartletWire

/// A request whose body has been read and checked.
struct PreparedRequest<Content: Sendable>: Sendable {
    var content: Content
    var rows: Int
    var form: AnswerForm
}

/// How an answer is written.
enum AnswerForm: Sendable {
    case predictions
    case openInference(OpenInferenceAnswer)
}

public struct InferenceAnswer: Sendable {
    public var reply: InferenceReply
    public var body: [UInt8]
}

/// The body of `predict`.
enum RowsBody {
    /// - Throws: `invalidRequest` where it is not `{"rows": [{…}, …]}`.
    static func read(_ body: [UInt8]) throws -> [JSONObject] {
        guard case .object(let object) = try JSONParser.parse(body), let rows = object["rows"]?.array, !rows.isEmpty
        else {
            throw MartletError(.invalidRequest, "the body must be {\"rows\": [{column: value, …}, …]}", param: "rows")
        }
        if let unknown = object.keys.first(where: { $0 != "rows" }) {
            throw MartletError(.invalidRequest, "unknown field '\(unknown)'; known: rows", param: unknown)
        }
        return try rows.enumerated().map { index, row in
            guard case .object(let object) = row else {
                throw MartletError(
                    .invalidRequest, "row \(index + 1) is \(row.kind); give an object of column: value", param: "rows")
            }
            return object
        }
    }
}
