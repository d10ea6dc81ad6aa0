import HTTPTypes
import Hummingbird
import MartletServer
import MartletWire
import Testing

@Suite("Paths find their routes")
struct RouteTableTests {
    static func table(_ paths: String...) -> RouteTable {
        RouteTable(paths.map { path in Route(.get, path, .everyone, "") { _ in Response(status: .ok) } })
    }

    /// The pattern and parameters that a path finds.
    static func find(_ table: RouteTable, _ path: String, _ method: String = "GET") -> (String, [String: String])? {
        guard case .route(let index, let parameters) = table.match(method, path[...]) else { return nil }
        return (table.routes[index].path, parameters)
    }

    @Test func literalsGoBeforeParameters() throws {
        let table = Self.table("/v2/models/{model}", "/v2/models/stats", "/v2/models/{model}/versions/{version}")
        #expect(try #require(Self.find(table, "/v2/models/stats")).0 == "/v2/models/stats")
        #expect(try #require(Self.find(table, "/v2/models/iris")).1 == ["model": "iris"])
        #expect(try #require(Self.find(table, "/v2/models/stats/versions/3")).1 == ["model": "stats", "version": "3"])
        #expect(Self.find(table, "/v2/models") == nil)
        #expect(Self.find(table, "/v2/models/a/b") == nil)
    }

    @Test func namesInAnyScriptAreDecoded() throws {
        let table = Self.table("/models/{model}", "/files/{path…}")
        #expect(try #require(Self.find(table, "/models/%E9%9B%A8%E7%87%95@2")).1 == ["model": "雨燕@2"])
        #expect(try #require(Self.find(table, "/files/a/%E6%A0%87.csv")).1 == ["path": "a/标.csv"])
    }

    @Test func hiddenSeparatorsAreNotDecoded() {
        let table = Self.table("/models/{model}", "/files/{path…}")
        for path in ["/models/a%2Fb", "/models/%00", "/models/%FF", "/files/a/..%2F..%2Fetc", "/files/%0d%0a"] {
            #expect(Self.find(table, path) == nil, "\(path)")
        }
    }

    @Test func headIsAnsweredByGet() {
        let table = Self.table("/health")
        #expect(Self.find(table, "/health", "HEAD") != nil)
        guard case .otherMethods(let methods) = table.match("POST", "/health") else {
            Issue.record("POST must be told which methods there are")
            return
        }
        #expect(methods == ["GET"])
    }
}
