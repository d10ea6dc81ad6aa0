/// A page of a list, as the native API gives it.
public struct Page<Item: Codable & Sendable>: Codable, Sendable {
    public var object = "list"
    public var data: [Item]
    public var hasMore: Bool
    public init(data: [Item], hasMore: Bool = false) {
        self.data = data
        self.hasMore = hasMore
    }
    /// The first `limit` of what was found, where one more than that was asked for.
    public init(_ found: [Item], limit: Int) {
        self.init(data: Array(found.prefix(limit)), hasMore: found.count > limit)
    }
    enum CodingKeys: String, CodingKey { case object, data, hasMore = "has_more" }
}
