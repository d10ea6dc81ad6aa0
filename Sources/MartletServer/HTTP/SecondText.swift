import Foundation
import Synchronization

/// The time in UTC as a text of whole seconds, formatted once a second.
final class SecondText: Sendable {
    /// As RFC 9110, 5.6.7 has it in `Date`.
    static let http = "%a, %d %b %Y %H:%M:%S GMT"
    /// As RFC 3339 has it.
    static let plain = "%Y-%m-%dT%H:%M:%SZ"

    private let format: String
    private let cached = Mutex((second: 0, text: ""))

    /// `format` is one of `strftime`.
    init(_ format: String) { self.format = format }

    var now: String {
        let second = time(nil)
        return cached.withLock { cached in
            if cached.second != second { cached = (second, text(second)) }
            return cached.text
        }
    }

    private func text(_ second: time_t) -> String {
        var second = second, parts = tm()
        gmtime_r(&second, &parts)
        var buffer = [CChar](repeating: 0, count: 40)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
