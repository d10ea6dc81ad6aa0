import Hummingbird
import MartletPlatform
import MartletWire
import NIOCore
import ServiceLifecycle

/// The events of a background response as they come, to one of those who follow it.
///
/// A client that leaves ends nothing but this stream; so does a key that is revoked, within five seconds.
struct ResponseEventStream: Sendable {
    private static let tickInterval = Duration.seconds(4)
    private enum Signal: Sendable { case change, tick }
    private let keys: KeyService
    private let secret: String

    init(_ call: Call, keys: KeyService) throws {
        self.keys = keys
        secret = try Authentication.secret(in: call.request.headers)
    }

    func response(_ log: ResponseLog, from number: Int) -> Response {
        Response(
            status: .ok, headers: .events,
            body: ResponseBody { writer in
                let (signals, continuation) = AsyncStream<Signal>.makeStream()
                try await withGracefulShutdownHandler {
                    try await write(log, from: number, signals, continuation, to: &writer)
                } onGracefulShutdown: {
                    continuation.finish()
                }
                try await writer.finish(nil)
            })
    }

    private func write(
        _ log: ResponseLog, from start: Int, _ signals: AsyncStream<Signal>,
        _ continuation: AsyncStream<Signal>.Continuation, to writer: inout any ResponseBodyWriter
    ) async throws {
        let pump = Task {
            for await _ in log.changes() { continuation.yield(.change) }
            // Once more for the end, whatever was heard before it.
            continuation.yield(.change)
        }
        let clock = Task {
            while (try? await Task.sleep(for: Self.tickInterval)) != nil { continuation.yield(.tick) }
        }
        defer {
            pump.cancel()
            clock.cancel()
        }
        var next = start
        for await signal in signals {
            if case .tick = signal {
                do {
                    _ = try await keys.authenticate(secret)
                } catch {
                    return try await say(Failure.known(error), before: next, to: &writer)
                }
                try await writer.write(ByteBuffer(string: ": tick\n\n"))
                continue
            }
            switch log.read(from: next) {
            case .events(let events, let following):
                next = following
                guard !events.isEmpty else { continue }
                try await writer.write(ByteBuffer(string: events.map(ResponseReplay.text).joined()))
                guard case .over = log.read(from: next) else { continue }
                return
            case .over: return
            case .stopped: return try await stopped(next, &writer)
            case .lost:
                return try await say(
                    MartletError(.conflict, "this stream fell too far behind; ask for the response without 'stream'"),
                    before: next, to: &writer)
            }
        }
        try await stopped(next, &writer)
    }

    private func stopped(_ next: Int, _ writer: inout any ResponseBodyWriter) async throws {
        let after = next > 0 ? " for its events after \(next - 1)" : ""
        try await say(
            MartletError(.unavailable, "martlet serve stops; the response goes on when it is back: ask then\(after)"),
            before: next, to: &writer)
    }

    /// The last thing that this stream says. It is no event of the response, and has the number of the last that was
    /// told, so that what is asked for after it is what follows.
    private func say(_ error: MartletError, before next: Int, to writer: inout any ResponseBodyWriter) async throws {
        let text = ResponseReplay.text(ResponseLog.error(error, number: max(0, next - 1)))
        try await writer.write(ByteBuffer(string: text))
    }
}
