import Foundation
import MartletWire

/// `mk_<8-character id>_<43 base64url characters>_<checksum>`: 256 random bits, an id to find the stored hash by,
/// and a CRC-32 that tells a mistyped key from an unknown one without a look-up.
struct APIKey: Sendable, Equatable {
    let id: String
    let text: String

    static func random() throws -> APIKey {
        let id = try [UInt8].random(count: 4).hex
        let secret = Data(try [UInt8].random(count: 32)).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
        let body = "mk_\(id)_\(secret)"
        return APIKey(id: id, text: "\(body)_\(checksum(body))")
    }

    private init(id: String, text: String) {
        self.id = id
        self.text = text
    }

    /// Nil for anything that this program did not write.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        // mk_ + 8 + _ + 43 + _ + 8
        guard bytes.count == 64, text.hasPrefix("mk_"), bytes[11] == UInt8(ascii: "_"), bytes[55] == UInt8(ascii: "_")
        else { return nil }
        let id = String(decoding: bytes[3..<11], as: UTF8.self)
        guard id.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
            bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            Self.checksum(String(decoding: bytes[..<55], as: UTF8.self))
                == String(decoding: bytes[56...], as: UTF8.self)
        else { return nil }
        self.id = id
        self.text = text
    }

    var hash: String { ContentHash.of(text) }
    /// What may be shown: enough to tell keys apart, nothing to guess one from.
    var prefix: String { "mk_\(id)" }

    /// CRC-32 (IEEE 802.3), as eight hexadecimal digits.
    static func checksum(_ text: String) -> String {
        var crc: UInt32 = 0xffff_ffff
        for byte in text.utf8 {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xedb8_8320 : crc >> 1 }
        }
        let value = ~crc
        return (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }.hex
    }
}

/// Compares in a time that does not depend on where the texts differ.
func isEqualInConstantTime(_ left: String, _ right: String) -> Bool {
    let left = Array(left.utf8)
    let right = Array(right.utf8)
    guard left.count == right.count else { return false }
    var difference: UInt8 = 0
    for index in left.indices { difference |= left[index] ^ right[index] }
    return difference == 0
}
