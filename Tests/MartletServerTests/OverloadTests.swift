import Foundation
import MartletServer
import MartletTesting
import MartletWire
import Synchronization
import Testing

@Suite("More requests than there are places", .serialized)
struct OverloadTests {
    /// Holds answers until it is opened.
    private final class Gate: Sendable {
        private let isOpen = Mutex(false)
        func open() { isOpen.withLock { $0 = true } }
        func pass() async throws {
            try await eventually { isOpen.withLock { $0 } }
        }
    }

    private static let places = 4

    private static func request(_ fake: OpenAIFake, _ body: JSON) -> String {
        let text = body.serialized()
        return "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:\(fake.live.port)\r\n"
            + "Authorization: Bearer \(fake.live.adminKey)\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)"
    }

    /// The head and the body of one answer.
    private static func answer(_ socket: RawSocket) async -> (head: String, body: String) {
        var text = ""
        while true {
            // Tests that compute may keep this one from its turn for a minute.
            let (more, isClosed) = await socket.read(seconds: 120, until: "}")
            text += more
            if text.hasPrefix("HTTP/1.1 100"), let end = text.range(of: "\r\n\r\n") {
                text.removeSubrange(..<end.upperBound)
            }
            let parts = text.components(separatedBy: "\r\n\r\n")
            let (head, body) = (parts[0].lowercased(), parts.dropFirst().joined())
            let length = head.components(separatedBy: "content-length: ").last?.prefix { $0.isNumber }
            if more.isEmpty || isClosed || body.utf8.count >= length.flatMap({ Int($0) }) ?? .max {
                return (head, body)
            }
        }
    }

    /// A model with one place, which the request on `socket` has until `gate` is opened.
    private func withOnePlaceTaken(
        _ body: (_ fake: OpenAIFake, _ socket: RawSocket, _ gate: Gate) async throws -> Void
    ) async throws {
        let gate = Gate()
        let answer: OpenAIFake.Answer = { request, exchange in
            if case .chat(let messages, _) = request.prompt, messages.first?["content"] == "wait" {
                try await gate.pass()
            }
            try await OpenAIFake.say("Hel", "lo")(request, exchange)
        }
        try await OpenAIFake.with(answer, configure: { $0.replicaQueueLimit = 1 }) { fake in
            // The first request loads the model.
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 200)
            let before = fake.asked.frameCount
            let socket = try RawSocket(port: fake.live.port)
            socket.send(Self.request(fake, OpenAIFake.chat(["messages": [["role": "user", "content": "wait"]]])))
            try await eventually { fake.asked.frameCount == before + 1 }
            try await body(fake, socket, gate)
        }
    }

    @Test("L01: what is refused costs the model nothing, and what is admitted is as without it")
    func whatIsRefusedCostsTheModelNothing() async throws {
        let gates = [Gate(), Gate()]
        let answer: OpenAIFake.Answer = { request, exchange in
            // The first request loads the model.
            if case .chat(let messages, _) = request.prompt,
                let index = messages.first?["content"]?.string.flatMap({ Int($0) })
            {
                try await gates[index].pass()
            }
            try await OpenAIFake.say("Hel", "lo")(request, exchange)
        }
        try await OpenAIFake.with(answer, configure: { $0.replicaQueueLimit = Self.places }) { fake in
            #expect(try await fake.post("/v1/chat/completions", OpenAIFake.chat()).status == 200)
            for (round, gate) in gates.enumerated() {
                let before = fake.asked.frameCount
                let body = OpenAIFake.chat(["messages": [["role": "user", "content": .string("\(round)")]]])
                let sockets = try (0..<5 * Self.places).map { _ in try RawSocket(port: fake.live.port) }
                // One after the other, so that it is known who was first.
                for (index, socket) in sockets.enumerated() {
                    socket.send(Self.request(fake, body))
                    if index < Self.places {
                        try await eventually { fake.asked.frameCount == before + index + 1 }
                        continue
                    }
                    // It is told while the others are still being answered, and its connection stays.
                    let refused = await Self.answer(socket)
                    #expect(refused.head.hasPrefix("http/1.1 503") && refused.head.contains("retry-after: "))
                    #expect(!refused.head.contains("connection: close"))
                    let error = try JSONParser.parse(refused.body)["error"]
                    #expect(error?["message"]?.string?.contains("4 places") == true)
                }
                // What there is no place for is not read: this is no JSON.
                // The server knows for a second which model a name stood for, and a test may have no turn in it.
                for path in ["chat/completions", "completions", "responses", "embeddings"] {
                    try await eventually {
                        #expect(try await fake.post("/v1/chat/completions", body).status == 503)
                        let unread = try await fake.live.post("/v1/" + path, "{\"model\":\"tiny\",\"input\":[oh")
                        return unread.status == 503
                    }
                }
                #expect(fake.asked.frameCount == before + Self.places, "nothing of the others reached the model")
                gate.open()
                for socket in sockets[..<Self.places] {
                    let whole = await Self.answer(socket)
                    #expect(whole.head.hasPrefix("http/1.1 200") && whole.body.contains("Hello"))
                }
                // Whoever was refused asks again on the same connection.
                let again = try #require(sockets.last)
                again.send(Self.request(fake, body))
                #expect(await Self.answer(again).head.hasPrefix("http/1.1 200"))
                #expect(fake.asked.frameCount == before + Self.places + 1)
            }
            // What was refused is on nobody's bill.
            let usage = try await fake.live.ask(.GET, "/api/v1/usage").json()
            let rows = usage["data"]?.array?.filter { $0["kind"] == "inference" } ?? []
            func sum(_ name: String) -> Int { rows.reduce(0) { $0 + ($1[name]?.int ?? 0) } }
            let answered = 1 + gates.count * (Self.places + 1)
            #expect(sum("requests") == answered && sum("completion_tokens") == 2 * answered)
        }
    }

    @Test("what there is no room for is told so in the same words, however it comes")
    func whatThereIsNoRoomForIsToldSoInTheSameWords() async throws {
        try await withOnePlaceTaken { fake, first, gate in
            let before = fake.asked.frameCount
            let plain = Self.request(fake, OpenAIFake.chat())
            let long = OpenAIFake.chat([
                "messages": [["role": "user", "content": .string(String(repeating: "x", count: 1 << 17))]]
            ])
            let parts = plain.components(separatedBy: "\r\n\r\n")
            let length = "Content-Length: \(parts[1].utf8.count)"
            func with(_ header: String) -> String {
                plain.replacingOccurrences(of: length, with: length + "\r\n" + header)
            }
            let forms = [
                "plain": plain, "large": Self.request(fake, long), "kept": with("Connection: keep-alive"),
                "closed": with("Connection: close"), "asked": with("Expect: 100-continue"),
                "in chunks": parts[0].replacingOccurrences(of: length, with: "Transfer-Encoding: chunked")
                    + "\r\n\r\n\(String(parts[1].utf8.count, radix: 16))\r\n\(parts[1])\r\n0\r\n\r\n",
            ]
            let varying = ["x-request-id", "date", "openai-processing-ms", "connection"]
            func told(_ answer: (head: String, body: String)) -> [String] {
                let lines = answer.head.components(separatedBy: "\r\n")
                return lines.filter { line in !varying.contains { line.hasPrefix($0 + ":") } }.sorted() + [answer.body]
            }
            var words: [String]?
            for (form, text) in forms.sorted(by: { $0.key < $1.key }) {
                let socket = try RawSocket(port: fake.live.port)
                socket.send(text)
                let answer = await Self.answer(socket)
                #expect(answer.head.hasPrefix("http/1.1 503"), "\(form): \(answer)")
                for name in varying.dropLast() { #expect(answer.head.contains("\r\n\(name): "), "\(form), \(name)") }
                words = words ?? told(answer)
                #expect(told(answer) == words, "\(form)")
            }
            // In pieces, and the next one before the answer to the first.
            let slow = try RawSocket(port: fake.live.port)
            let cut = plain.utf8.count - 40
            slow.send(String(plain.prefix(cut)))
            try await Task.sleep(for: .milliseconds(50))
            slow.send(String(plain.dropFirst(cut)) + plain)
            var both = ""
            while both.components(separatedBy: "HTTP/1.1 503").count < 3 || !both.hasSuffix("}") {
                let (more, isClosed) = await slow.read(seconds: 120, until: "}")
                both += more
                if more.isEmpty || isClosed { break }
            }
            for one in both.components(separatedBy: "HTTP/1.1 ").dropFirst() {
                let halves = one.components(separatedBy: "\r\n\r\n")
                #expect(told(("http/1.1 " + halves[0].lowercased(), halves.dropFirst().joined())) == words)
            }
            // What else is wrong with a request is said first, as ever.
            let stranger = plain.replacingOccurrences(of: fake.live.adminKey, with: "mk_stranger")
            for (text, status) in [
                (stranger, 401), (plain.replacingOccurrences(of: "Host: 127.0.0.1", with: "Host: evil.example"), 403),
                (plain.replacingOccurrences(of: "completions HTTP", with: "completions?x=1 HTTP"), 400),
            ] {
                let socket = try RawSocket(port: fake.live.port)
                socket.send(text)
                #expect(await Self.answer(socket).head.hasPrefix("http/1.1 \(status)"))
            }
            #expect(fake.asked.frameCount == before)
            let metrics = try await fake.live.ask(.GET, "/metrics").text
            #expect(
                metrics.contains("route=\"/v1/chat/completions\",status=\"503\"} \(forms.count + 2)"), "all are counted"
            )
            gate.open()
            #expect(await Self.answer(first).head.hasPrefix("http/1.1 200"))
            slow.send(plain)
            #expect(await Self.answer(slow).head.hasPrefix("http/1.1 200"))
        }
    }

    @Test("a refusal does not overtake the answer to what was sent before it on its connection")
    func aRefusalDoesNotOvertakeAnAnswer() async throws {
        try await withOnePlaceTaken { fake, socket, gate in
            // A client may send its next request before it has the answer to the first.
            socket.send(Self.request(fake, OpenAIFake.chat()))
            let (early, _) = await socket.read(seconds: 1, until: "}")
            #expect(early.isEmpty, "\(early)")
            gate.open()
            var both = early
            while both.components(separatedBy: "HTTP/1.1 200").count < 3 || !both.hasSuffix("}") {
                let (more, isClosed) = await socket.read(seconds: 120, until: "}")
                both += more
                if more.isEmpty || isClosed { break }
            }
            #expect(both.hasPrefix("HTTP/1.1 200") && both.components(separatedBy: "Hello").count == 3, "\(both)")
        }
    }

    @Test("what is for the background waits for its place") func whatIsForTheBackgroundWaitsForItsPlace() async throws {
        try await withOnePlaceTaken { fake, socket, gate in
            var body: JSONObject = ["model": "tiny", "input": "x"]
            #expect(try await fake.post("/v1/responses", .object(body)).status == 503)
            body["background"] = true
            let queued = try await fake.post("/v1/responses", .object(body))
            #expect(queued.status == 200, "\(queued.text)")
            gate.open()
            #expect(await Self.answer(socket).head.hasPrefix("http/1.1 200"))
            let id = try #require(try queued.json()["id"]?.string)
            try await eventually {
                try await fake.live.ask(.GET, "/v1/responses/\(id)").json()["status"] == "completed"
            }
        }
    }

    @Test(
        arguments: [
            (#"{"background":true}"#, true), (#"{"model":"a","tools":[{"background":1}], "background" : true }"#, true),
            (#"{"background":false}"#, false), (#"{"background":"true"}"#, false), (#"{"background":tru"#, false),
            (#"{"x":{"background":true}}"#, false), (#"["background",true]"#, false), ("", false),
        ])
    func aFlagIsFoundWithoutReadingTheRest(body: String, isTrue: Bool) {
        #expect(Array(body.utf8).withUnsafeBytes { ModelName.isTrue("background", in: $0) } == isTrue)
    }

    @Test(
        arguments: [
            (#"{"model":"a"}"#, "a"), (" {\n\"model\" : \"é b\"", "é b"),
            (#"{"messages":[{"model":"x","c":"}\"{]"}],"n":-1.5e3,"b":true,"o":{},"model":"last"}"#, "last"),
            (#"{"model":"a\u0041"}"#, nil), (#"{"model":1,"x":"model"}"#, nil), (#"{"a":"not ended"#, nil),
            (#"["model","a"]"#, nil), ("{}", nil), ("{", nil), ("", nil), (#"{"model""#, nil), (#"{"a":[[[["#, nil),
        ] as [(String, String?)])
    func theModelIsFoundWithoutReadingTheRest(body: String, model: String?) {
        #expect(Array(body.utf8).withUnsafeBytes(ModelName.peek) == model)
    }
}
