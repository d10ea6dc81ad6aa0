import Foundation
import HTTPTypes
import MartletWire

/// Every route of the server, and the way from a request's path to one of them.
public struct RouteTable: Sendable {
    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: (name: String, node: Int)?
        var rest: (name: String, node: Int)?
        /// Method → place in `routes`.
        var routes: [String: Int] = [:]
    }

    /// What a path leads to.
    package enum Match {
        case route(index: Int, parameters: [String: String])
        /// The path is known and the method is not; the methods that are.
        case otherMethods([String])
        case none
    }

    public let routes: [Route]
    private var nodes = [Node()]

    public init(_ routes: [Route]) {
        self.routes = routes
        for (index, route) in routes.enumerated() {
            nodes[insert(route.path)].routes[route.method.rawValue] = index
        }
    }

    private mutating func insert(_ path: String) -> Int {
        var current = 0
        for segment in path.split(separator: "/") {
            let text = String(segment)
            if text.hasPrefix("{"), text.hasSuffix("…}") {
                let next = nodes[current].rest?.node ?? append()
                nodes[current].rest = (String(text.dropFirst().dropLast(2)), next)
                current = next
            } else if text.hasPrefix("{") {
                let next = nodes[current].parameter?.node ?? append()
                nodes[current].parameter = (String(text.dropFirst().dropLast()), next)
                current = next
            } else {
                let next = nodes[current].literals[text] ?? append()
                nodes[current].literals[text] = next
                current = next
            }
        }
        return current
    }

    private mutating func append() -> Int {
        nodes.append(Node())
        return nodes.count - 1
    }

    /// Where `method` of `path` (without its query) leads. A literal segment goes before a parameter.
    package func match(_ method: String, _ path: Substring) -> Match {
        let segments = path.split(separator: "/", omittingEmptySubsequences: true)
        var parameters: [String: String] = [:]
        guard let node = find(segments[...], from: 0, &parameters) else { return .none }
        if let index = nodes[node].routes[method] { return .route(index: index, parameters: parameters) }
        if method == "HEAD", let index = nodes[node].routes["GET"] {
            return .route(index: index, parameters: parameters)
        }
        return .otherMethods(nodes[node].routes.keys.sorted())
    }

    private func find(_ segments: ArraySlice<Substring>, from index: Int, _ parameters: inout [String: String]) -> Int?
    {
        let node = nodes[index]
        guard let first = segments.first else { return node.routes.isEmpty ? nil : index }
        if let next = node.literals[String(first)], let found = find(segments.dropFirst(), from: next, &parameters) {
            return found
        }
        if let (name, next) = node.parameter, let found = find(segments.dropFirst(), from: next, &parameters) {
            guard let value = Self.decoded(first) else { return nil }
            parameters[name] = value
            return found
        }
        if let (name, next) = node.rest {
            let decoded = segments.compactMap(Self.decoded)
            guard decoded.count == segments.count else { return nil }
            parameters[name] = decoded.joined(separator: "/")
            return next
        }
        return nil
    }

    /// A segment without its percent signs; nil where it is not UTF-8 or hides a separator or a control character.
    private static func decoded(_ segment: Substring) -> String? {
        guard segment.utf8.contains(UInt8(ascii: "%")) else { return String(segment) }
        guard let text = segment.removingPercentEncoding,
            text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0 != "/" && $0 != "\u{7F}" })
        else { return nil }
        return text
    }
}
