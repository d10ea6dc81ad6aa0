import Foundation
import HTTPTypes
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore

/// An answer that can be told in chunks, each a document of its own.
protocol StreamedAnswer: Sendable {
    mutating func chunks(_ item: GenerationSet.Item) -> [String]
    /// After the last event.
    var lastChunks: [String] { get }
    /// Before a chunk's data: the name of its kind, where the API has one.
    static func eventName(of chunk: String) -> String?
    static var endsWithDone: Bool { get }
    /// A failure in the middle.
    mutating func failure(_ error: MartletError) -> String
}

extension StreamedAnswer {
    static func eventName(of chunk: String) -> String? { nil }
    static var endsWithDone: Bool { true }
    mutating func failure(_ error: MartletError) -> String { Failure.body(error, dialect: .native) }
}

/// Writes an answer as server-sent events.
///
/// A client that leaves ends the work; so does a key that is revoked, within five seconds.
struct AnswerStream: Sendable {
    private static let tickInterval = Duration.seconds(4)
    /// Ticks without a chunk after which a comment goes out: proxies give up on what is silent for a minute.
    private static let silentTicks = 2
    private let keys: KeyService
    private let secret: String
    private let departure: Departure

    /// The client is gone: nothing can be told it any more.
    private struct ClientGone: Error {}

    init(_ call: Call, keys: KeyService, departure: Departure) throws {
        self.keys = keys
        secret = try Authentication.secret(in: call.request.headers)
        self.departure = departure
    }

    /// `finished` hears the whole answer where it came to its end.
    func response<Answer: StreamedAnswer>(
        _ set: GenerationSet, _ answer: Answer, finished: @escaping @Sendable (Answer) async throws -> Void = { _ in }
    ) -> Response {
        var headers = HTTPFields.events
        headers.setLimits(of: set.generation)
        return Response(
            status: .ok, headers: headers,
            body: ResponseBody { writer in
                let watch = Task { await watchKey(set) }
                defer { watch.cancel() }
                try await departure.watch {
                    try await write(set, answer, finished, to: &writer)
                } onDeparture: {
                    set.end(MartletError(.cancelled, "the client left"))
                }
                try await writer.finish(nil)
            })
    }

    private func write<Answer: StreamedAnswer>(
        _ set: GenerationSet, _ answer: Answer, _ finished: @Sendable (Answer) async throws -> Void,
        to writer: inout any ResponseBodyWriter
    ) async throws {
        var answer = answer
        do {
            try await send(answer.chunks(set.first), as: Answer.self, to: &writer)
            var isDone = false
            var silence = 0
            for try await item in set.rest {
                guard let item else {
                    silence += 1
                    if silence % Self.silentTicks == 0 { try await tell(": wait\n\n", to: &writer) }
                    continue
                }
                silence = 0
                try await send(answer.chunks(item), as: Answer.self, to: &writer)
                if case .done = item.event { isDone = true }
            }
            guard isDone else {
                throw MartletError(.unavailable, "the server stopped before the answer was whole; ask again")
            }
            try await finished(answer)
            try await send(answer.lastChunks, as: Answer.self, to: &writer)
            if Answer.endsWithDone { try await writer.write(ByteBuffer(string: "data: [DONE]\n\n")) }
        } catch is ClientGone {
            set.end(MartletError(.cancelled, "the client left"))
        } catch {
            let text = answer.failure(Failure.known(error))
            try? await send([text], as: Answer.self, to: &writer)
        }
    }

    private func send<Answer: StreamedAnswer>(
        _ chunks: [String], as type: Answer.Type, to writer: inout any ResponseBodyWriter
    ) async throws {
        guard !chunks.isEmpty else { return }
        var text = ""
        for chunk in chunks {
            if let name = type.eventName(of: chunk) { text += "event: \(name)\n" }
            text += "data: \(chunk)\n\n"
        }
        try await tell(text, to: &writer)
    }

    private func tell(_ text: String, to writer: inout any ResponseBodyWriter) async throws {
        do {
            try await writer.write(ByteBuffer(string: text))
        } catch {
            throw ClientGone()
        }
    }

    private func watchKey(_ set: GenerationSet) async {
        while (try? await Task.sleep(for: Self.tickInterval)) != nil {
            do {
                _ = try await keys.authenticate(secret)
                set.tick()
            } catch {
                return set.end(Failure.known(error))
            }
        }
    }
}

extension HTTPFields {
    /// What the model's queue takes, in the headers that clients know for it.
    mutating func setLimits(of generation: Generation) {
        self[.requestLimit] = String(generation.queueLimit)
        self[.requestRoom] = String(generation.queueRoom)
        self[.requestReset] = "1s"
    }
}
