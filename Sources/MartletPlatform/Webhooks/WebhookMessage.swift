import Foundation
import MartletStore
import MartletWire

/// A webhook's body and signature, as OpenAI sends them (Standard Webhooks 1.0).
package enum WebhookMessage {
    static func id(of event: WebhookEvent) -> String {
        "evt_" + ContentHash.of("\(event.id)/\(event.type)/\(event.objectID)").prefix(32)
    }

    static func body(of event: WebhookEvent) -> String {
        let body: JSON = [
            "id": .string(id(of: event)), "object": "event",
            "created_at": JSON(Int(event.createdAt.timeIntervalSince1970)), "type": .string(event.type),
            "data": ["id": .string(event.objectID)],
        ]
        return body.serialized()
    }

    /// `webhook-id`, `webhook-timestamp`, `webhook-signature`; the time is the attempt's.
    package static func headers(id: String, body: String, key: [UInt8], at date: Date) -> [(String, String)] {
        let time = String(Int(date.timeIntervalSince1970))
        let code = authentication(of: Array("\(id).\(time).\(body)".utf8), key: key)
        return [
            ("content-type", "application/json"), ("user-agent", "Martlet"), ("webhook-id", id),
            ("webhook-timestamp", time), ("webhook-signature", "v1," + Data(code).base64EncodedString()),
        ]
    }

    /// HMAC-SHA-256 (RFC 2104).
    package static func authentication(of message: [UInt8], key: [UInt8]) -> [UInt8] {
        let blockBytes = 64
        var block = key.count > blockBytes ? digest(key) : key
        block += [UInt8](repeating: 0, count: blockBytes - block.count)
        return digest(block.map { $0 ^ 0x5C } + digest(block.map { $0 ^ 0x36 } + message))
    }

    private static func digest(_ bytes: [UInt8]) -> [UInt8] {
        let digits = Array(ContentHash.of(bytes).utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).map { index in
            nibble(digits[index]) << 4 | nibble(digits[index + 1])
        }
    }

    private static func nibble(_ digit: UInt8) -> UInt8 { digit <= 0x39 ? digit - 0x30 : digit - 0x57 }
}
