import Foundation
import MartletWire
import Testing

@Suite("Chats that are kept", .serialized)
struct StoredChatTests {
    @Test func whatIsKeptIsListedShownChangedAndForgotten() async throws {
        try await OpenAIFake.with { fake in
            let first = try await fake.post(
                "/v1/chat/completions", OpenAIFake.chat(["store": true, "metadata": ["topic": "a"], "seed": 7])
            ).json()
            _ = try await fake.stream(
                "/v1/chat/completions",
                OpenAIFake.chat(["store": true, "stream": true, "metadata": ["topic": "b"]]))
            _ = try await fake.post("/v1/chat/completions", OpenAIFake.chat(["metadata": ["topic": "a"]]))
            let base = "/v1/chat/completions"
            func ids(_ query: String) async throws -> [JSON?] {
                let answer = try await fake.live.ask(.GET, base + query)
                #expect(answer.status == 200, "\(answer.text)")
                return try answer.json()["data"]?.array?.map { $0["id"] } ?? []
            }
            let all = try await ids("")
            #expect(all.count == 2 && all.first == first["id"])
            #expect(try await ids("?order=desc").last == first["id"])
            #expect(try await ids("?metadata%5Btopic%5D=b") == [all[1]])
            #expect(try await ids("?model=other").isEmpty)
            #expect(try await ids("?limit=1&after=\(first["id"]?.string ?? "")") == [all[1]])
            #expect(try await fake.live.ask(.GET, base + "?order=up").status == 400)
            #expect(try await fake.live.ask(.GET, base + "?what=up").status == 400)

            let path = "\(base)/\(first["id"]?.string ?? "")"
            let kept = try await fake.live.ask(.GET, path).json()
            #expect(kept["choices"] == first["choices"] && kept["metadata"] == ["topic": "a"] && kept["seed"] == 7)
            let messages = try await fake.live.ask(.GET, path + "/messages").json()
            #expect(messages["data"]?.array?.first?["content"] == "Hi")
            let changed = try await fake.post(path, ["metadata": ["topic": "c"]]).json()
            #expect(changed["metadata"] == ["topic": "c"])
            #expect(try await fake.post(path, ["metadata": ["topic": 1]]).status == 400)
            let gone = try await fake.live.ask(.DELETE, path).json()
            #expect(gone["deleted"] == true && gone["object"] == "chat.completion.deleted")
            #expect(try await fake.live.ask(.GET, path).status == 404)
        }
    }
}
