import HTTPTypes

/// Pages of other sites that a browser lets call this server, by the Fetch standard's CORS protocol.
///
/// Keys come in a header that a page has to set itself, never from a browser's own store: so no page acts in the name of
/// another, and none is told that it may send cookies.
struct CrossOrigin: Sendable {
    private let origins: Set<String>
    private static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
    /// Seconds that a browser may keep the answer to its question.
    private static let questionAge = "7200"

    init(_ origins: [String]) { self.origins = Set(origins) }

    func allows(_ origin: String) -> Bool {
        guard !origins.isEmpty else { return false }
        return origins.contains("*") || origins.contains(origin.lowercased())
    }

    /// What a browser is told that asks, before it sends a page's request, whether it may; nil where it does not ask so.
    func answer(to request: HTTPRequest) -> HTTPFields? {
        let asked = request.headerFields
        guard request.method == .options, asked[.accessControlRequestMethod] != nil, let origin = asked[.origin],
            allows(origin)
        else { return nil }
        var headers: HTTPFields = [
            .accessControlAllowMethods: Self.methods, .accessControlMaxAge: Self.questionAge,
        ]
        headers[.accessControlAllowHeaders] = asked[.accessControlRequestHeaders]
        // A page of the internet that calls a server of this machine or its network.
        if asked[.privateNetworkQuestion] != nil { headers[.privateNetworkAnswer] = "true" }
        return headers
    }

    /// Lets the page read the answer.
    func mark(_ headers: inout HTTPFields, for origin: String?) {
        guard !origins.isEmpty else { return }
        headers[.vary] = "Origin"
        guard let origin, allows(origin) else { return }
        headers[.accessControlAllowOrigin] = origin
        headers[.accessControlExposeHeaders] = "*"
    }
}
