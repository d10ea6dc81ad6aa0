import Foundation
import MartletServer
import MartletWire
import Testing

@Suite("Names from outside", .serialized)
struct NameTests {
    /// As they stand in a path: what leads elsewhere, ends strings, fills up, is blank, or looks like another.
    private static let strange = [
        "..%2Fx", "..%5Cx", "%2e%2e%2fadmin.key", "%252e%252e%252fx", "%00", "demo%00",
        String(repeating: "a", count: 4096),
        "%20", "%09", "demo%20", "%20demo", "a%0Ab", "d%D0%B5mo", "dem%EF%BD%8F", "%E2%80%AEdemo", "%ff%fe", "demo@0",
        "demo@-1", "demo@99999999999999999999", "demo@1@1", "@", "demo;x", "~", "%7Broot%7D",
    ]

    @Test("I13: a model's name that is none gives 400 or 404 on every route, and the server goes on")
    func i13StrangeModelNames() async throws {
        try await LiveServer.with { live in
            let infer = #"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}"#
            for name in Self.strange {
                for (method, path, body) in [
                    ("GET", "/v2/models/\(name)", nil), ("GET", "/v2/models/\(name)/ready", nil),
                    ("POST", "/v2/models/\(name)/infer", infer), ("GET", "/api/v1/models/\(name)", nil),
                    ("DELETE", "/api/v1/models/\(name)", nil), ("GET", "/api/v1/datasets/\(name)", nil),
                    ("POST", "/api/v1/deployments/\(name)/predict", #"{"rows":[{}]}"#),
                ] as [(String, String, String?)] {
                    let answer = try await Self.ask(live, method, path, body)
                    #expect(["400", "404"].contains(answer.status), "\(method) \(path.prefix(80)): \(answer.text)")
                    #expect(!answer.text.contains("/blobs"), "\(answer.text)")
                    #expect(!answer.text.contains("\0"), "\(method) \(path.prefix(80))")
                }
            }
            #expect(try await live.ask(.GET, "/health/live").status == 200)
        }
    }

    /// Through a socket, so that no client tidies the path on the way.
    private static func ask(
        _ live: LiveServer, _ method: String, _ path: String, _ body: String?
    ) async throws -> (status: String, text: String) {
        let socket = try RawSocket(port: live.port)
        socket.send(
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + "Authorization: Bearer \(live.adminKey)\r\nContent-Length: \(body?.utf8.count ?? 0)\r\n\r\n\(body ?? "")"
        )
        let text = await socket.read(seconds: 60).text
        return (text.split(separator: " ").dropFirst().first.map(String.init) ?? "", text)
    }
}
