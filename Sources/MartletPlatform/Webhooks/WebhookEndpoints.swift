import Foundation
import MartletWire
import Yams

/// Who wants to be told of what, as the operator wrote it.
package struct WebhookEndpoint: Sendable, Equatable {
    package var url: String
    /// The key of its signatures, decoded.
    package var key: [UInt8]
    /// Nil is every kind.
    package var events: Set<String>?
    /// A project's name; nil is every project.
    package var project: String?

    package static let kinds: Set<String> = [
        "fine_tuning.job.succeeded", "fine_tuning.job.failed", "fine_tuning.job.cancelled", "batch.completed",
        "batch.failed", "batch.cancelled", "batch.expired", "eval.run.succeeded", "eval.run.failed",
        "eval.run.canceled",
    ]

    package init(url: String, key: [UInt8], events: Set<String>? = nil, project: String? = nil) {
        self.url = url
        self.key = key
        self.events = events
        self.project = project
    }

    package func wants(_ type: String, ofProject name: String) -> Bool {
        (events?.contains(type) ?? true) && (project == nil || project == name)
    }

    /// Reads a YAML list of `{url, secret, events?, project?}`.
    ///
    /// Every endpoint must be one that `policy` lets the server call. Throws `usage` with the entry.
    package static func read(_ text: String, policy: OutboundPolicy) throws -> [WebhookEndpoint] {
        guard let node = try? Yams.compose(yaml: text), let list = node.sequence else {
            throw MartletError(.usage, "the webhook file must be a YAML list of {url, secret}; mend it")
        }
        return try list.enumerated().map { index, entry in
            func refused(_ what: String) -> MartletError {
                MartletError(.usage, "webhook \(index + 1) in the webhook file \(what)")
            }
            guard let mapping = entry.mapping else { throw refused("is no mapping; write url and secret") }
            for (key, _) in mapping where !["url", "secret", "events", "project"].contains(key.string ?? "") {
                throw refused("has '\(key.string?.prefix(40) ?? "?")'; known are url, secret, events, project")
            }
            guard let url = mapping["url"]?.string else { throw refused("has no url; add it") }
            do {
                _ = try policy.check(url)
            } catch let error as MartletError {
                throw refused("cannot be called: \(error.message)")
            }
            guard let secret = mapping["secret"]?.string, secret.hasPrefix("whsec_"),
                let key = Data(base64Encoded: String(secret.dropFirst(6))), (16...128).contains(key.count)
            else { throw refused("needs a secret: whsec_ and 16 to 128 bytes in base64") }
            var events: Set<String>?
            if let node = mapping["events"] {
                guard let names = node.sequence?.compactMap(\.string), names.count == node.sequence?.count else {
                    throw refused("has events that are no list of names; mend it")
                }
                for name in names where !kinds.contains(name) {
                    throw refused("wants '\(name.prefix(60))'; known are \(kinds.sorted().joined(separator: ", "))")
                }
                events = Set(names)
            }
            return WebhookEndpoint(url: url, key: [UInt8](key), events: events, project: mapping["project"]?.string)
        }
    }
}
