import AsyncHTTPClient
import Foundation
import MartletWire
import NIOCore

/// One event of a job's stream.
enum JobStreamItem {
    case event(JobEventInfo)
    case progress(JobProgress)
    case job(JobInfo)
}

/// Reads a stream of server-sent events (HTML Living Standard, 9.2), line by line.
struct EventStreamParser {
    private var pending: [UInt8] = []
    private var name = "message"
    private var data = ""

    /// The events that `bytes` complete.
    mutating func feed(_ bytes: some Sequence<UInt8>) -> [(name: String, data: String)] {
        var events: [(name: String, data: String)] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                pending.append(byte)
                continue
            }
            let line = String(decoding: pending, as: UTF8.self)
            pending.removeAll(keepingCapacity: true)
            if line.isEmpty {
                if !data.isEmpty { events.append((name, data)) }
                (name, data) = ("message", "")
            } else if line.hasPrefix("event: ") {
                name = String(line.dropFirst(7))
            } else if line.hasPrefix("data: ") {
                data += (data.isEmpty ? "" : "\n") + line.dropFirst(6)
            }
        }
        return events
    }
}

extension Client {
    /// A job's events until it ends or is paused, as they happen. A broken connection is dialled again.
    func follow(job id: String, _ handle: (JobStreamItem) async throws -> Void) async throws {
        var last = 0
        var failures = 0
        while true {
            var isDone = false
            do {
                let response = try await request(
                    .GET, "/api/v1/jobs/\(Self.segment(id))/events?after=\(last)",
                    headers: [("Accept", "text/event-stream")])
                failures = 0
                var parser = EventStreamParser()
                for try await chunk in response.body {
                    for (name, data) in parser.feed(chunk.readableBytesView) {
                        guard let item = try Self.item(name, data) else { continue }
                        if case .event(let event) = item { last = max(last, event.sequence) }
                        try await handle(item)
                        guard case .job(let job) = item else { continue }
                        // The stream of a paused job stays open: somebody may resume it.
                        if job.state == .paused { return }
                        if job.state.isFinal { isDone = true }
                    }
                }
                if isDone { return }
            } catch let error as MartletError where error.code != .unavailable {
                throw error
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                if isDone { return }
            }
            failures += 1
            guard failures <= 60 else {
                throw MartletError(.unavailable, "the server at \(url) went away; the job goes on when it is back")
            }
            try await Task.sleep(for: .seconds(1))
        }
    }

    private static func item(_ name: String, _ data: String) throws -> JobStreamItem? {
        let bytes = Data(data.utf8)
        switch name {
        case "event": return .event(try JSONDecoder.wire.decode(JobEventInfo.self, from: bytes))
        case "progress": return .progress(try JSONDecoder.wire.decode(JobProgress.self, from: bytes))
        case "job": return .job(try JSONDecoder.wire.decode(JobInfo.self, from: bytes))
        case "error":
            let error = try JSONParser.parse(data)["error"]
            throw MartletError(
                error?["code"]?.string.flatMap(MartletError.Code.init) ?? .unavailable,
                error?["message"]?.string ?? "the stream broke off")
        default: return nil
        }
    }
}
