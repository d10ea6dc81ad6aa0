import Foundation
import Glibc
import MartletTesting
import MartletWire
import Testing

extension ProcessTests {
    /// Requests and starts that are refused; the server that refuses them is still the same process afterwards.
    @Suite struct BadRequests {
        @Test func A01_H03_H05_A09_I01_refusedRequestsLeaveTheServerAlive() async throws {
            try await TestHome.with { home in
                try home.trainBirds(deployment: "birds")
                let http = try home.http()
                let server = try #require(home.owner?.pid)
                let replica = try #require(home.replicas.first)
                let predict = "/api/v1/deployments/birds/predict"

                for key in [nil, "garbage", "' OR 1=1--", String(http.key?.dropLast() ?? "")] {
                    let stranger = HTTPClient(port: http.port, key: key)
                    for path in ["/api/v1/jobs", "/api/v1/models", "/api/v1/keys", "/v2/models/birds"] {
                        #expect(try stranger.get(path).status == 401, "\(key ?? "no key") at \(path)")
                    }
                    #expect(try stranger.post(predict, json: TinyData.row).status == 401)
                    #expect(try stranger.request("DELETE", "/api/v1/models/birds").status == 401)
                }

                let socket = try RawSocket(port: http.port)
                let head = [
                    "POST \(predict) HTTP/1.1", "Host: localhost", "Authorization: Bearer \(http.key ?? "")",
                    "Content-Type: application/json", "Content-Length: \((64 << 20) + 1)", "", "",
                ]
                try socket.write(Array(head.joined(separator: "\r\n").utf8))
                let large = try socket.answer()
                #expect(large.status == 413 && large.code == "too_large", "\(large.text)")

                for depth in [101, 10_000, 100_000] {
                    let nested = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
                    for (path, body) in [
                        (predict, "{\"rows\":\(nested)}"), ("/api/v1/jobs", "{\"recipe\":\(nested)}"),
                        ("/v2/models/birds/infer", "{\"parameters\":{\"a\":\(nested)}}"),
                    ] {
                        let answer = try http.post(path, json: body)
                        #expect(answer.status == 400 && answer.message.contains("64"), "\(answer.text)")
                    }
                }

                let twice = try http.post("/api/v1/jobs", json: #"{"kind":"train","kind":"evaluate"}"#)
                #expect(twice.status == 400 && twice.message.contains("duplicate_key"), "\(twice.text)")
                #expect(twice.message.contains("'kind'"))
                let rows = try http.post(predict, json: #"{"rows":[],"rows":[{"wing":1}]}"#)
                #expect(rows.status == 400 && rows.message.contains("duplicate_key"), "\(rows.text)")

                for shape in [
                    "[16,1152921504606846978]", "[-1,-1]", "[0]", "[4294967296,4294967296]", "[3,1]", "[1e400]",
                    "[\(Array(repeating: "1", count: 10_000).joined(separator: ","))]",
                ] {
                    let tensors = #"{"inputs":[{"name":"wing","datatype":"FP32","shape":\#(shape),"data":[1.0]}]}"#
                    let answer = try http.post("/v2/models/birds/infer", json: tensors)
                    #expect(answer.status == 400 && !answer.message.isEmpty, "\(shape.prefix(40)): \(answer.text)")
                }

                #expect(try http.post(predict, json: TinyData.row).status == 200)
                #expect(home.owner?.pid == server)
                #expect(home.replicas == [replica])
                #expect(try home.get("/api/v1/jobs")["data"]?.array?.count == 2)
            }
        }

        @Test func A02_beyondLoopbackWithoutTLSIsRefused() async throws {
            try await TestHome.with { home in
                let result = try home.run("serve", "--listen", "0.0.0.0:0")
                #expect(result.code != 0 && result.code != nil)
                #expect(result.errors.contains("0.0.0.0") && result.errors.contains("TLS"), "\(result.errors)")
                #expect(home.owner?.port == nil)
            }
        }

        @Test func aPortOrHomeInUseIsNamed() async throws {
            try await TestHome.with { home in
                try home.serve()
                let owner = try #require(home.owner)
                let port = try #require(owner.port)
                let second = try home.run("serve", "--listen", "127.0.0.1:0")
                #expect(second.code == 65)
                #expect(second.errors.contains("process \(owner.pid)") && second.errors.contains(":\(port)"))

                let other = try TestHome()
                defer { other.finish() }
                let taken = try other.run("serve", "--listen", "127.0.0.1:\(port)")
                #expect(taken.code == 69)
                #expect(taken.errors.contains("\(port)") && taken.errors.contains("in use"), "\(taken.errors)")
                #expect(try home.http().get("/health/ready").status == 200)
            }
        }
    }
}
