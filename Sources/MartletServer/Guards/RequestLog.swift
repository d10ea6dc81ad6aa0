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
        let line = line()
        var fields: JSONObject = [
            "time": .string(Self.time.now), "level": line.status >= 500 ? "error" : "info",
            "request": .string(line.requestID), "method": .string(line.method), "route": .string(line.route),
            "status": JSON(line.status), "ms": .double(Double(line.microseconds) / 1000),
        ]
        if let key = line.key { fields["key"] = .string(key) }
        if let project = line.project { fields["project"] = .string(project) }
        if let error = line.error { fields["error"] = .string(error) }
        Self.emit(JSON.object(fields))
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
