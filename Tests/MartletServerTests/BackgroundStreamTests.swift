import AsyncHTTPClient
import Foundation
import MartletPlatform
import MartletTesting
import MartletWire
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

/// Responses in the background that are streamed too.
@Suite("Streams of the background", .serialized) struct BackgroundStreamTests {
    private static let asked: JSON = ["model": "tiny", "input": "One", "background": true, "stream": true]

    /// Lets a model say its pieces one at a time.
    private final class Valve: Sendable {
        private let open = Mutex(0)
        func allow(_ count: Int) { open.withLock { $0 = max($0, count) } }
        func pass(_ number: Int) async throws {
            while open.withLock({ $0 }) < number { try await Task.sleep(for: .milliseconds(5)) }
        }

        /// `count` pieces `p0 `, `p1 `, …
        func answer(_ count: Int) -> OpenAIFake.Answer {
            { _, exchange in
                try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
                for number in 0..<count {
                    try await self.pass(number + 1)
                    if exchange.isCancelled() { return try exchange.send(.done(OpenAIFake.usage(completion: number))) }
                    try exchange.send(.text(choice: 0, "p\(number) ", tokens: []))
                }
                try exchange.send(.finished(choice: 0, .stop, completionTokens: count))
                try exchange.send(.done(OpenAIFake.usage(completion: count)))
            }
        }
    }

    /// A stream that is read as it comes.
    private final class Reading {
        private var body: HTTPClientResponse.Body.AsyncIterator
        private var text = ""

        init(_ live: LiveServer, _ path: String, post: JSON? = nil, key: String? = nil) async throws {
            var request = HTTPClientRequest(url: live.url + path)
            request.headers.add(name: "Authorization", value: "Bearer \(key ?? live.adminKey)")
            if let post {
                request.method = .POST
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = .bytes(ByteBuffer(string: post.serialized()))
            }
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
            try #require(response.status == .ok)
            body = response.body.makeAsyncIterator()
        }

        /// The next event; nil at the end.
        func next() async throws -> JSON? {
            while true {
                if let end = text.range(of: "\n\n") {
                    let block = String(text[..<end.lowerBound])
                    text = String(text[end.upperBound...])
                    guard !block.hasPrefix(":") else { continue }
                    let lines = block.split(separator: "\n")
                    try #require(lines.count == 2 && lines[1].hasPrefix("data: "))
                    let event = try JSONParser.parse(String(lines[1].dropFirst(6)), limits: .trusted)
                    #expect(lines[0] == "event: \(event["type"]?.string ?? "")")
                    return event
                }
                guard let more = try await body.next() else { return nil }
                text += String(buffer: more)
            }
        }

        func rest() async throws -> [JSON] {
            var events: [JSON] = []
            while let event = try await next() { events.append(event) }
            return events
        }

        func until(_ type: String) async throws -> [JSON] {
            var events: [JSON] = []
            while let event = try await next() {
                events.append(event)
                if event["type"] == .string(type) { return events }
            }
            throw MartletError(.internal, "the stream ended before \(type)")
        }
    }

    private static func numbers(_ events: [JSON]) -> [Int] { events.compactMap { $0["sequence_number"]?.int } }
    private static func text(_ events: [JSON]) -> String { events.compactMap { $0["delta"]?.string }.joined() }

    @Test func `events come as they are made, to several who each begin where they like, and are kept`() async throws {
        let valve = Valve()
        try await OpenAIFake.with(valve.answer(5)) { fake in
            let first = try await Reading(fake.live, "/v1/responses", post: Self.asked)
            let created = try #require(try await first.next())
            #expect(created["type"] == "response.created" && created["response"]?["status"] == "queued")
            let id = try #require(created["response"]?["id"]?.string)
            #expect(try await first.next()?["type"] == "response.queued")
            #expect(try await first.next()?["type"] == "response.in_progress")
            valve.allow(2)
            let begun = try await first.until("response.output_text.delta")
            #expect(begun.last?["delta"] == "p0 ")
            // Another comes in the middle, for all of it and for a part.
            let path = "/v1/responses/\(id)?stream=true"
            let second = try await Reading(fake.live, path)
            let third = try await Reading(fake.live, path + "&starting_after=4")
            #expect(try await third.next()?["sequence_number"] == 5)
            // Whoever asks for what is behind an event that has not been would wait for nothing.
            #expect(try await fake.live.ask(.GET, path + "&starting_after=100").status == 400)
            valve.allow(5)
            let rest = try await first.rest()
            let all = try await second.rest()
            #expect(Self.numbers(all) == Array(0..<all.count))
            #expect(Self.text(all) == "p0 p1 p2 p3 p4 ")
            #expect([created] == Array(all.prefix(1)) && rest == Array(all.suffix(rest.count)))
            #expect(try await third.rest() == Array(all.dropFirst(6)))
            let end = try #require(all.last)
            #expect(end["type"] == "response.completed" && end["response"]?["status"] == "completed")
            #expect(end["response"]?["created_at"] == created["response"]?["created_at"])
            // Afterwards the very same events, from anywhere.
            try await eventually { try await !fake.live.platform.hasWork() }
            #expect(try await Reading(fake.live, path).rest() == all)
            #expect(try await Reading(fake.live, path + "&starting_after=6").rest() == Array(all.dropFirst(7)))
            #expect(try await Reading(fake.live, path + "&starting_after=\(all.count - 1)").rest() == [])
            #expect(try await fake.live.ask(.GET, path + "&starting_after=\(all.count)").status == 400)
            let shown = try await fake.live.ask(.GET, "/v1/responses/\(id)").json()
            #expect(shown["status"] == "completed" && shown["output"] == end["response"]?["output"])
            #expect(try await fake.used("requests") == 1)
            // They go with it.
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(id)").status == 200)
            #expect(try await fake.live.ask(.GET, path).status == 404)
        }
    }

    @Test func `it goes on when its client leaves`() async throws {
        let valve = Valve()
        try await OpenAIFake.with(valve.answer(3)) { fake in
            var request = HTTPClientRequest(url: fake.live.url + "/v1/responses")
            request.method = .POST
            request.headers.add(name: "Authorization", value: "Bearer \(fake.live.adminKey)")
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: Self.asked.serialized()))
            let client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup)
            let response = try await client.execute(request, timeout: .seconds(120))
            var text = ""
            for try await part in response.body {
                text += String(buffer: part)
                if text.contains("\n\n") { break }
            }
            let block = try #require(text.components(separatedBy: "data: ").dropFirst().first)
            let event = try JSONParser.parse(String(block.prefix { $0 != "\n" }), limits: .trusted)
            let id = try #require(event["response"]?["id"]?.string)
            try await client.shutdown()
            valve.allow(3)
            try await eventually {
                try await fake.live.ask(.GET, "/v1/responses/\(id)").json()["status"] == "completed"
            }
            let events = try await Reading(fake.live, "/v1/responses/\(id)?stream=true&starting_after=0").rest()
            #expect(Self.numbers(events) == Array(1...events.count) && Self.text(events) == "p0 p1 p2 ")
        }
    }

    @Test func `a cancelled, a deleted and a failing one say how they end`() async throws {
        let valve = Valve()
        try await OpenAIFake.with({ request, exchange in
            guard case .chat(let messages, _) = request.prompt else { return }
            if messages.last?["content"] == "fail" {
                return try exchange.fail(MartletError(.contextLengthExceeded, "too long a prompt"))
            }
            try await valve.answer(100)(request, exchange)
        }) { fake in
            valve.allow(1)
            var streams: [(id: String, reading: Reading, told: [JSON])] = []
            for _ in 0..<2 {
                let reading = try await Reading(fake.live, "/v1/responses", post: Self.asked)
                let told = try await reading.until("response.output_text.delta")
                streams.append((try #require(told[0]["response"]?["id"]?.string), reading, told))
            }
            let path = "/v1/responses/\(streams[0].id)"
            #expect(try await fake.live.ask(.POST, path + "/cancel").json()["status"] == "cancelled")
            #expect(try await fake.live.ask(.DELETE, "/v1/responses/\(streams[1].id)").status == 200)
            valve.allow(100)
            let rest = try await streams[0].reading.rest()
            let end = try #require(rest.last)
            #expect(end["type"] == "response.failed" && end["response"]?["status"] == "cancelled")
            let all = streams[0].told + rest
            #expect(Self.numbers(all) == Array(0..<all.count))
            #expect(try await Reading(fake.live, path + "?stream=true").rest() == all)
            let deleted = try await streams[1].reading.rest()
            #expect(deleted.last?["type"] == "error" && deleted.last?["code"] == "not_found")

            let asked: JSON = ["model": "tiny", "input": "fail", "background": true, "stream": true]
            let failed = try await Reading(fake.live, "/v1/responses", post: asked).rest()
            let types = failed.compactMap { $0["type"]?.string }
            #expect(types == ["response.created", "response.queued", "response.failed"], "\(types)")
            #expect(failed.last?["response"]?["error"]?["message"]?.string?.contains("too long") == true)
        }
    }

    @Test func `an answer that breaks off begins anew in the same stream`() async throws {
        let turn = Mutex(0)
        try await OpenAIFake.with({ request, exchange in
            let number = turn.withLock { turn in
                turn += 1
                return turn
            }
            guard number == 1 else { return try await OpenAIFake.say("whole")(request, exchange) }
            try exchange.send(.started(promptTokens: 5, cachedTokens: 0))
            try exchange.send(.text(choice: 0, "half", tokens: []))
            try exchange.fail(MartletError(.unavailable, "the model's process ended"))
        }) { fake in
            let events = try await Reading(fake.live, "/v1/responses", post: Self.asked).rest()
            #expect(Self.numbers(events) == Array(0..<events.count))
            #expect(Self.text(events) == "halfwhole")
            #expect(events.count { $0["type"] == "response.created" } == 2)
            #expect(events.last?["response"]?["output"]?.array?.first?["content"]?.array?.first?["text"] == "whole")
        }
    }

    @Test("A11: a revoked key's stream of the background ends within five seconds") func aRevokedKey() async throws {
        let valve = Valve()
        try await OpenAIFake.with(valve.answer(2)) { fake in
            let key = try await fake.live.platform.keys.create(name: "k", role: .inference, by: fake.live.admin)
            let started = try await Reading(fake.live, "/v1/responses", post: Self.asked)
            let id = try #require(try await started.next()?["response"]?["id"]?.string)
            let other = try await Reading(fake.live, "/v1/responses/\(id)?stream=true", key: key.secret)
            _ = try await other.until("response.in_progress")
            let (rest, time) = try await counted {
                _ = try await fake.live.platform.keys.revoke(key.id, by: fake.live.admin)
                return try await other.rest()
            }
            #expect(rest.last?["type"] == "error" && rest.last?["code"] == "invalid_api_key", "\(rest)")
            #expect(time < .seconds(5))
            // It is not that key's, so it goes on.
            valve.allow(2)
            #expect(try await started.rest().last?["type"] == "response.completed")
        }
    }
}
