import Foundation
import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore
import ServiceLifecycle
import Synchronization

/// A job's updates as server-sent events: `event`, `progress` and `job`, each with a JSON document.
///
/// Every few seconds a comment keeps the connection alive and the key is looked at again: a key that was revoked ends
/// the stream with an `error` event.
struct JobEventStream: Sendable {
    private static let tickInterval = Duration.seconds(4)
    private let keys: KeyService
    private let secret: String

    init(_ call: Call, keys: KeyService) throws {
        self.keys = keys
        secret = try Authentication.secret(in: call.request.headers)
    }

    func response(_ updates: JobUpdates) -> Response {
        Response(
            status: .ok, headers: .events,
            body: ResponseBody { writer in
                // A stream must not hold the server's end up.
                try await withGracefulShutdownHandler {
                    try await write(updates, to: &writer)
                } onGracefulShutdown: {
                    updates.end()
                }
                try await writer.finish(nil)
            })
    }

    private func write(_ updates: JobUpdates, to writer: inout any ResponseBodyWriter) async throws {
        let isDue = Mutex(false)
        let clock = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.tickInterval)
                isDue.withLock { $0 = true }
                updates.ring()
            }
        }
        defer {
            clock.cancel()
            updates.end()
        }
        try await writer.write(ByteBuffer(string: ": start\n\n"))
        for try await batch in updates {
            for update in batch { try await writer.write(Self.text(update)) }
            let isTick = isDue.withLock { isDue in
                defer { isDue = false }
                return isDue
            }
            guard isTick else { continue }
            do {
                _ = try await keys.authenticate(secret)
            } catch {
                let body = Failure.body(Failure.known(error), dialect: .native)
                return try await writer.write(ByteBuffer(string: "event: error\ndata: \(body)\n\n"))
            }
            try await writer.write(ByteBuffer(string: ": tick\n\n"))
        }
    }

    private static func text(_ update: JobUpdate) throws -> ByteBuffer {
        switch update {
        case .event(let event): try text("event", event, id: event.sequence)
        case .progress(let progress): try text("progress", progress)
        case .state(let job): try text("job", job)
        }
    }

    private static func text(_ name: String, _ value: some Encodable, id: Int? = nil) throws -> ByteBuffer {
        var buffer = ByteBuffer(string: "event: \(name)\n")
        if let id { buffer.writeString("id: \(id)\n") }
        buffer.writeString("data: ")
        buffer.writeBytes(try JSONEncoder.wire.encode(value))
        buffer.writeString("\n\n")
        return buffer
    }
}
