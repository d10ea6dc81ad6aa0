import Foundation
import MartletTesting
import MartletWire
import Testing

extension LongTests {
    @Suite struct Batches {
        private static let tiny = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Golden/tiny-llama").path
        private static let lineCount = 2000

        private static let input = (1...lineCount).map { number in
            let line: JSON = [
                "custom_id": .string("r-\(number)"), "method": "POST", "url": "/v1/chat/completions",
                "body": [
                    "model": "tiny", "max_tokens": 4, "temperature": 0,
                    "messages": [["role": "user", "content": .string("Hi \(number)")]],
                ],
            ]
            return line.serialized() + "\n"
        }.joined()

        /// The input file's id.
        private static func upload(_ http: MartletTesting.HTTPClient) throws -> String {
            let mark = "XXmarkXX"
            let body =
                "--\(mark)\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--\(mark)\r\n"
                + "Content-Disposition: form-data; name=\"file\"; filename=\"in.jsonl\"\r\n\r\n\(input)\r\n--\(mark)--\r\n"
            let answer = try http.request(
                "POST", "/v1/files", headers: ["Content-Type": "multipart/form-data; boundary=\(mark)"],
                body: Data(body.utf8))
            return try #require(try answer.json()["id"]?.string, "\(answer.text)")
        }

        @Test("J15: 2,000 lines under 20 kills of serve; each line is in the output and on the bill exactly once")
        func killed() async throws {
            try await TestHome.with { home in
                var serve = try home.serve()
                try home.json("models", "import", Self.tiny, "--name", "tiny")
                let file = try Self.upload(try home.http())
                let made = try home.http().post(
                    "/v1/batches",
                    json: """
                        {"input_file_id":"\(file)","endpoint":"/v1/chat/completions","completion_window":"24h"}
                        """)
                let path = "/v1/batches/\(try #require(try made.json()["id"]?.string, "\(made.text)"))"
                var kills = 0
                var last: JSON = .null
                while kills < 20 {
                    let floor = last["request_counts"]?["completed"]?.int ?? 0
                    try waitUntil("more lines", seconds: 120) {
                        last = try home.get(path)
                        return (last["request_counts"]?["completed"]?.int ?? 0) >= floor + 40
                    }
                    serve.kill()
                    kills += 1
                    serve = try home.serve()
                }
                try waitUntil("the end of the batch", seconds: 300) {
                    last = try home.get(path)
                    return ["completed", "failed", "expired"].contains(last["status"]?.string)
                }
                #expect(last["status"] == "completed", "\(last.serialized())")
                #expect(last["request_counts"] == ["total": 2000, "completed": 2000, "failed": 0])
                let output = try home.http().get("/v1/files/\(last["output_file_id"]?.string ?? "")/content").text
                let ids = try output.split(separator: "\n").map {
                    try JSONParser.parse(String($0), limits: .trusted)["custom_id"]?.string ?? ""
                }
                #expect(ids == (1...Self.lineCount).map { "r-\($0)" })

                // Each line is billed once, whatever was killed: a line's use is stored with its result.
                func sum(_ rows: [JSON], _ name: String) -> Int { rows.reduce(0) { $0 + ($1[name]?.int ?? 0) } }
                let bodies = try output.split(separator: "\n").map {
                    try JSONParser.parse(String($0), limits: .trusted)["response"]?["body"]?["usage"] ?? .null
                }
                let rows = try home.get("/api/v1/usage")["data"]?.array?.filter { $0["kind"] == "inference" } ?? []
                #expect(sum(rows, "requests") == Self.lineCount)
                #expect(sum(rows, "prompt_tokens") == sum(bodies, "prompt_tokens") && sum(bodies, "prompt_tokens") > 0)
                #expect(sum(rows, "completion_tokens") == sum(bodies, "completion_tokens"))
                #expect(last["usage"]?["input_tokens"]?.int == sum(bodies, "prompt_tokens"))
                #expect(last["usage"]?["output_tokens"]?.int == sum(bodies, "completion_tokens"))
            }
        }
    }
}
