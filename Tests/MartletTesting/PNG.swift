import Foundation

/// Grey PNG images of one shade, uncompressed, and ones that lie about their size.
public enum PNG {
    /// An image of `side` × `side` pixels; `claims` is what its header says where that is to differ.
    public static func grey(_ shade: UInt8, side: Int, claims: UInt32? = nil) -> Data {
        let size = claims ?? UInt32(side)
        let header = bytes(size) + bytes(size) + [8, 0, 0, 0, 0]
        let rows = [UInt8]((0..<side).flatMap { _ in [0] + [UInt8](repeating: shade, count: side) })
        var image = Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
        image += chunk("IHDR", header)
        image += chunk("IDAT", stored(rows))
        image += chunk("IEND", [])
        return image
    }

    /// RFC 1950 around one stored block of RFC 1951.
    private static func stored(_ data: [UInt8]) -> [UInt8] {
        let count = UInt16(data.count)
        let lengths = [count, ~count].flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
        var low: UInt32 = 1
        var high: UInt32 = 0
        for byte in data {
            low = (low + UInt32(byte)) % 65_521
            high = (high + low) % 65_521
        }
        return [0x78, 0x01, 0x01] + lengths + data + bytes(high << 16 | low)
    }

    private static func chunk(_ type: String, _ data: [UInt8]) -> Data {
        let body = Array(type.utf8) + data
        return Data(bytes(UInt32(data.count)) + body + bytes(checksum(body)))
    }

    /// CRC-32 as in RFC 1952.
    private static func checksum(_ data: [UInt8]) -> UInt32 {
        var sum = ~UInt32(0)
        for byte in data {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 1 ? (sum >> 1) ^ 0xEDB8_8320 : sum >> 1 }
        }
        return ~sum
    }

    private static func bytes(_ value: UInt32) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}
