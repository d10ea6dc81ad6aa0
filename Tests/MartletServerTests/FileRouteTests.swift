import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOCore
import Testing

@Suite("Files and uploads of OpenAI's API", .serialized) struct FileRouteTests {
    static let line =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Ho\"}]}\n"

    /// Uploads with the purpose before or after the file.
    static func upload(
        _ live: LiveServer, _ text: String = line, filename: String = "train.jsonl", purpose: String = "fine-tune",
        isPurposeFirst: Bool = true, key: String? = nil, more: [(String, String)] = []
    ) async throws -> LiveServer.Answer {
        var form = Form()
        if isPurposeFirst { form.field("purpose", purpose) }
        form.file("file", filename, Data(text.utf8))
        if !isPurposeFirst { form.field("purpose", purpose) }
        for (name, value) in more { form.field(name, value) }
        return try await live.ask(.POST, "/v1/files", key: key, headers: Form.headers, body: form.closed)
    }

    static func id(_ answer: LiveServer.Answer) throws -> String {
        try #require(answer.status == 200, "\(answer.text)")
        return try #require(try answer.json()["id"]?.string)
    }

    @Test func aFileIsKeptShownListedReadAndDeleted() async throws {
        try await LiveServer.with { live in
            let answer = try await Self.upload(live, filename: "雨燕 1.jsonl", isPurposeFirst: false)
            let id = try Self.id(answer)
            let made = try answer.json()
            #expect(made["object"] == "file" && made["filename"] == "雨燕 1.jsonl" && made["purpose"] == "fine-tune")
            #expect(made["bytes"]?.int == Self.line.utf8.count && made["status"] == "processed")
            #expect(made["expires_at"] == .null)
            #expect(try await live.ask(.GET, "/v1/files/\(id)").json() == made)
            let content = try await live.ask(.GET, "/v1/files/\(id)/content")
            #expect(content.text == Self.line)
            #expect(content.headers.first(name: "content-type") == "application/jsonl")
            // The same file is a dataset.
            #expect(made["dataset"] == "雨燕-1@1")
            let dataset = try await live.platform.datasets.show("雨燕-1@1", by: live.admin)
            #expect(dataset.byteCount == Self.line.utf8.count && dataset.profileJob != nil)
            // The same content again is another file of the same version.
            let second = try await Self.upload(live, filename: "雨燕 1.jsonl")
            #expect(try second.json()["dataset"] == "雨燕-1@1" && (try Self.id(second)) != id)
            let gone = try await live.ask(.DELETE, "/v1/files/\(id)")
            #expect(try gone.json() == ["id": .string(id), "object": "file", "deleted": true])
            for (method, path) in [("GET", ""), ("GET", "/content"), ("DELETE", "")] {
                let answer = try await live.ask(.init(rawValue: method), "/v1/files/\(id)\(path)")
                #expect(answer.status == 404)
            }
            #expect(try await live.platform.datasets.show("雨燕-1@1", by: live.admin).version == 1)
            _ = try await live.ask(.DELETE, "/v1/files/\(try Self.id(second))")
            await #expect(throws: MartletError.self) {
                try await live.platform.datasets.show("雨燕-1@1", by: live.admin)
            }
        }
    }

    @Test func listsHavePages() async throws {
        try await LiveServer.with { live in
            var ids: [String] = []
            for index in 0..<5 {
                let purpose = index == 2 ? "user_data" : "fine-tune"
                ids.append(
                    try Self.id(try await Self.upload(live, "\(index)\n", filename: "\(index)", purpose: purpose)))
            }
            func list(_ query: String) async throws -> (ids: [String], page: JSON) {
                let page = try await live.ask(.GET, "/v1/files\(query)").json()
                return (page["data"]?.array?.compactMap { $0["id"]?.string } ?? [], page)
            }
            #expect(try await list("").ids == ids.reversed())
            let first = try await list("?limit=2&order=asc")
            #expect(first.ids == Array(ids[..<2]) && first.page["has_more"] == true)
            #expect(first.page["first_id"]?.string == ids[0] && first.page["last_id"]?.string == ids[1])
            let rest = try await list("?limit=3&order=asc&after=\(ids[1])")
            #expect(rest.ids == Array(ids[2...]) && rest.page["has_more"] == false)
            #expect(try await list("?purpose=user_data").ids == [ids[2]])
            let empty = try await list("?purpose=batch_output")
            #expect(empty.ids == [] && empty.page["first_id"] == .null)
            for (query, param) in [
                ("?limit=0", "limit"), ("?limit=10001", "limit"), ("?order=up", "order"), ("?purpose=x", "purpose"),
                ("?after=file-x", "after"), ("?page=1", "page"),
            ] {
                let answer = try await live.ask(.GET, "/v1/files\(query)")
                #expect(try answer.json()["error"]?["param"]?.string == param, "\(query): \(answer.text)")
            }
        }
    }

    @Test func whatIsWrongIsNamedAndLeavesNothingBehind() async throws {
        try await LiveServer.with({ $0.uploadLimitBytes = 1000 }) { live in
            func incoming() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: live.home + "/blobs/incoming").count
            }
            var cases: [(Form, Int, String?)] = []
            var form = Form()
            form.field("purpose", "fine-tune")
            cases.append((form, 400, "file"))
            form = Form()
            form.file("file", "a.jsonl", Data("x".utf8))
            cases.append((form, 400, "purpose"))
            form.field("purpose", "nonsense")
            cases.append((form, 400, "purpose"))
            form = Form()
            form.file("file", "a.jsonl", Data("x".utf8))
            form.field("purpose", "batch_output")
            cases.append((form, 400, "purpose"))
            form = Form()
            form.field("purpose", "batch")
            form.file("file", "a", Data("x".utf8))
            form.file("file", "b", Data("y".utf8))
            cases.append((form, 400, "file"))
            form = Form()
            form.field("purpose", "batch")
            form.field("file", "no file")
            cases.append((form, 400, "file"))
            form = Form()
            form.field("purpose", "batch")
            form.field("purpose", "batch")
            cases.append((form, 400, "purpose"))
            form = Form()
            form.field("purpos", "batch")
            cases.append((form, 400, "purpos"))
            form = Form()
            form.field("purpose", "batch")
            form.file("file", "a", Data())
            cases.append((form, 400, "file"))
            form = Form()
            form.field("purpose", "batch")
            form.file("file", "", Data("x".utf8))
            cases.append((form, 400, "filename"))
            for (form, status, param) in cases {
                let answer = try await live.ask(.POST, "/v1/files", headers: Form.headers, body: form.closed)
                #expect(answer.status == status, "\(answer.text)")
                #expect(try answer.json()["error"]?["param"]?.string == param, "\(answer.text)")
                #expect(try incoming() == 0)
            }
            for (count, status) in [(1000, 200), (1001, 413)] {
                let answer = try await Self.upload(live, String(repeating: "a", count: count))
                #expect(answer.status == status, "\(count): \(answer.text)")
            }
            let other = try await live.ask(
                .POST, "/v1/files", headers: [("Content-Type", "application/json")], body: Data("{}".utf8))
            #expect(other.status == 415)
            let unnamed = try await live.ask(
                .POST, "/v1/files", headers: [("Content-Type", "multipart/form-data")], body: Data("x".utf8))
            #expect(unnamed.status == 400)
            #expect(try incoming() == 0)
            #expect(try await live.platform.files.list(by: live.admin).data.count == 1)
        }
    }

    @Test func aBodyThatIsCutOffLeavesNothingBehind() async throws {
        try await LiveServer.with { live in
            func isClear() throws -> Bool {
                try FileManager.default.contentsOfDirectory(atPath: live.home + "/blobs/incoming").isEmpty
            }
            var form = Form()
            form.field("purpose", "fine-tune")
            form.file("file", "a.jsonl", Data(String(repeating: "x", count: 100_000).utf8))
            do {
                let socket = try RawSocket(port: live.port)
                socket.send(
                    "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(live.adminKey)\r\n"
                        + "Content-Type: multipart/form-data; boundary=\(Form.boundary)\r\n"
                        + "Content-Length: \(form.closed.count)\r\n\r\n")
                socket.send(String(decoding: form.closed.prefix(60_000), as: UTF8.self))
                try await eventually { try !isClear() }
                withExtendedLifetime(socket) {}
            }
            try await eventually { try isClear() }
            #expect(try await live.platform.files.list(by: live.admin).data.isEmpty)
        }
    }

    @Test func expiryIsReadAndKept() async throws {
        try await LiveServer.with { live in
            func expiry(_ fields: [(String, String)], purpose: String = "user_data") async throws -> LiveServer.Answer {
                try await Self.upload(live, purpose: purpose, more: fields)
            }
            let anchor = ("expires_after[anchor]", "created_at")
            for seconds in [3600, 2_592_000] {
                let made = try await expiry([anchor, ("expires_after[seconds]", "\(seconds)")]).json()
                #expect(made["expires_at"]?.int == made["created_at"].flatMap(\.int).map { $0 + seconds })
            }
            for fields in [
                [anchor], [("expires_after[seconds]", "3600")], [anchor, ("expires_after[seconds]", "3599")],
                [anchor, ("expires_after[seconds]", "2592001")], [anchor, ("expires_after[seconds]", "soon")],
                [("expires_after[anchor]", "now"), ("expires_after[seconds]", "3600")],
            ] {
                let answer = try await expiry(fields)
                #expect(answer.status == 400)
                #expect(try answer.json()["error"]?["param"]?.string?.hasPrefix("expires_after.") == true)
            }
            let batch = try await expiry([], purpose: "batch").json()
            #expect(batch["expires_at"]?.int == batch["created_at"].flatMap(\.int).map { $0 + 2_592_000 })
        }
    }

    @Test("A05: another project's file is not there, in the words of an unknown one, and the try is written down")
    func anotherProjectsFileIsNotThere() async throws {
        try await LiveServer.with { live in
            let file = try Self.id(try await Self.upload(live))
            let begun = try await live.post(
                "/v1/uploads", #"{"filename":"a","purpose":"batch","mime_type":"text/plain","bytes":3}"#)
            let upload = try Self.id(begun)
            _ = try await live.platform.projects.create(name: "other", by: live.admin)
            let key = try #require(
                try await live.platform.keys.create(name: "o", role: .developer, project: "other", by: live.admin)
                    .secret)
            for (method, path) in [
                ("GET", "/v1/files/ID"), ("DELETE", "/v1/files/ID"), ("GET", "/v1/files/ID/content"),
                ("POST", "/v1/uploads/UP/cancel"),
            ] {
                let real = path.replacing("ID", with: file).replacing("UP", with: upload)
                let none = path.replacing("ID", with: "file-0").replacing("UP", with: "upload_0")
                let theirs = try await live.ask(.init(rawValue: method), real, key: key)
                let unknown = try await live.ask(.init(rawValue: method), none, key: key)
                #expect(theirs.status == 404 && unknown.status == 404)
                #expect(
                    theirs.text.replacing(file, with: "X").replacing(upload, with: "X")
                        == unknown.text.replacing("file-0", with: "X").replacing("upload_0", with: "X"))
            }
            #expect(try await live.ask(.GET, "/v1/files", key: key).json()["data"]?.array?.isEmpty == true)
            let denied = try await live.platform.audit.list(by: live.admin).data.filter { $0.outcome == "denied" }
            #expect(denied.filter { $0.resource == file }.count == 3 && denied.contains { $0.resource == upload })
            #expect(try await live.ask(.GET, "/v1/files/\(file)").status == 200)
        }
    }
}
