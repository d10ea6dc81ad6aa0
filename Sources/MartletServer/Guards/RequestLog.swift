import Foundation
import MartletWire

/// One JSON line a request on standard error: no bodies, no keys, no queries.
struct RequestLog: Sendable {
    enum Level: Sendable {
        /// Failures of ours only.
        case error
        /// Everything but successful inference, health and metrics.
        case info
        case debug
    }
    let level: Level

    /// From the configuration's name of a level.
    init(_ name: String) {
        level =
            switch name {
            case "trace", "debug": .debug
            case "warning", "error": .error
            default: .info
            }
    }

    /// What one line says.
    struct Line {
        var requestID: String
        var method: String
        /// The route's pattern, so that a path's names stay out of the log.
        var route: String
        var status: Int
        var microseconds: UInt64
        var key: String?
        var project: String?
        var error: String?
    }

    func write(_ line: @autoclosure () -> Line, status: Int, isLogged: Bool) {
        switch level {
        case .error: guard status >= 500 else { return }
        case .info: guard isLogged || status >= 400 else { return }
        case .debug: break
        }
        Self.writer.put(Self.text(line()))
    }

    /// Written piece by piece: a server that refuses hundreds a second writes as many of these.
    private static func text(_ line: Line) -> String {
        var text = "{\"time\":\"\(time.now)\",\"level\":\"\(line.status >= 500 ? "error" : "info")\""
        func add(_ name: String, _ value: String?) {
            guard let value else { return }
            text += ",\"\(name)\":"
            JSON.quote(value, to: &text)
        }
        add("request", line.requestID)
        add("method", line.method)
        add("route", line.route)
        text += ",\"status\":\(line.status),\"ms\":\(Double(line.microseconds) / 1000)"
        add("key", line.key)
        add("project", line.project)
        add("error", line.error)
        return text + "}"
    }

    /// A line about the server itself.
    static func note(_ message: String, _ details: JSONObject = [:]) {
        var fields: JSONObject = [
            "time": .string(time.now), "level": "info", "message": .string(message),
        ]
        for (key, value) in details { fields[key] = value }
        emit(.object(fields))
    }

    private static let writer = LogWriter(descriptor: FileHandle.standardError.fileDescriptor)
    private static let time = SecondText(SecondText.plain)

    private static func emit(_ value: JSON) { writer.put(value.serialized()) }

    /// Waits until what was said is written, for a second at most.
    static func flush() { writer.flush() }
}
