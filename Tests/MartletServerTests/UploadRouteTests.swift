import Foundation
import MartletPlatform
import MartletWire
import Testing

@Suite("Uploads in parts", .serialized) struct UploadRouteTests {
    private func begin(_ live: LiveServer, _ count: Int, purpose: String = "fine-tune") async throws -> String {
        let body: JSON = [
            "filename": "big.jsonl", "purpose": .string(purpose), "mime_type": "text/jsonl", "bytes": JSON(count),
        ]
        return try FileRouteTests.id(try await live.post("/v1/uploads", body.serialized()))
    }

    private func part(_ live: LiveServer, _ upload: String, _ text: String) async throws -> LiveServer.Answer {
        var form = Form()
        form.file("data", "upload", Data(text.utf8))
        return try await live.ask(
            .POST, "/v1/uploads/\(upload)/parts", headers: Form.headers, body: form.closed)
    }

    private func complete(
        _ live: LiveServer, _ upload: String, _ parts: [String], md5: String? = nil
    ) async throws -> LiveServer.Answer {
        var body: JSONObject = ["part_ids": .array(parts.map { .string($0) })]
        body["md5"] = md5.map { .string($0) }
        return try await live.post("/v1/uploads/\(upload)/complete", JSON.object(body).serialized())
    }

    @Test func partsMakeAFileInTheOrderThatIsGiven() async throws {
        try await LiveServer.with { live in
            let upload = try await begin(live, 9)
            var parts: [String] = []
            for text in ["ghi", "abc", "def", "xyz"] {
                parts.append(try FileRouteTests.id(try await part(live, upload, text)))
            }
            let order = [parts[1], parts[2], parts[0]]
            // MD5 of "abcdefghi".
            let md5 = "8aa99b1f439ff71293e95357bac6fd94"
            for (ids, sum, param) in [
                ([parts[1], parts[2]], md5, "part_ids"), (order + [parts[3]], md5, "part_ids"),
                ([parts[1], parts[2], parts[2]], md5, "part_ids[2]"),
                ([parts[1], "part_0", parts[0]], md5, "part_ids[1]"),
                (order, "8aa99b1f439ff71293e95357bac6fd95", "md5"),
            ] {
                let answer = try await complete(live, upload, ids, md5: sum)
                #expect(answer.status == 400, "\(answer.text)")
                #expect(try answer.json()["error"]?["param"]?.string == param)
            }
            let done = try await complete(live, upload, order, md5: md5).json()
            #expect(done["status"] == "completed" && done["object"] == "upload")
            let file = try #require(done["file"]?["id"]?.string)
            #expect(try await live.ask(.GET, "/v1/files/\(file)/content").text == "abcdefghi")
            #expect(done["file"]?["dataset"] == "big@1")
            // The client's own retry.
            #expect(try await complete(live, upload, order, md5: md5).json() == done)
            #expect(try await part(live, upload, "x").status == 400)
            #expect(try await live.ask(.POST, "/v1/uploads/\(upload)/cancel").status == 400)
            #expect(try await live.platform.files.list(by: live.admin).data.count == 1)
        }
    }

    @Test func anUploadThatIsGivenUpTakesNothingMore() async throws {
        try await LiveServer.with({ $0.uploadLimitBytes = 1000 }) { live in
            let upload = try await begin(live, 1000)
            let id = try FileRouteTests.id(try await part(live, upload, "abc"))
            let cancelled = try await live.ask(.POST, "/v1/uploads/\(upload)/cancel")
            #expect(try cancelled.json()["status"] == "cancelled")
            #expect(try await live.ask(.POST, "/v1/uploads/\(upload)/cancel").json() == cancelled.json())
            #expect(try await part(live, upload, "abc").status == 400)
            #expect(try await complete(live, upload, [id]).status == 400)
            // The limits: of the upload, and of a part beside its upload.
            let over: JSON = ["filename": "a", "purpose": "batch", "mime_type": "x", "bytes": 1001]
            #expect(try await live.post("/v1/uploads", over.serialized()).status == 413)
            let small = try await begin(live, 3)
            #expect(try await part(live, small, "abcd").status == 400)
            #expect(try await part(live, small, "").status == 400)
            #expect(try await part(live, small, "abc").status == 200)
            #expect(try await part(live, small, "abc").status == 200)
            let more = try await part(live, small, "abc")
            #expect(more.status == 400 && more.text.contains("twice"))
            for (field, value) in [
                ("bytes", JSON(0)), ("bytes", "x"), ("filename", ""), ("purpose", "batch_output"), ("mime_type", .null),
            ] {
                var body: JSONObject = ["filename": "a", "purpose": "batch", "mime_type": "x", "bytes": 1]
                body[field] = value
                let answer = try await live.post("/v1/uploads", JSON.object(body).serialized())
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["param"]?.string == field)
            }
        }
    }
}
