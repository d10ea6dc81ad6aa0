import CCrypto
import Foundation

/// SHA-256 (FIPS 180-4) of bytes, as lower-case hexadecimal.
public struct ContentHash: ~Copyable {
    public enum Algorithm: Sendable {
        case sha256
        /// RFC 1321: for comparing with the checksum that a client gives, and for nothing that must withstand an attacker.
        case md5
    }

    private let context: OpaquePointer?

    public init(_ algorithm: Algorithm = .sha256) {
        context = EVP_MD_CTX_new()
        EVP_DigestInit_ex(context, algorithm == .md5 ? EVP_md5() : EVP_sha256(), nil)
    }

    deinit { EVP_MD_CTX_free(context) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    }

    public mutating func finish() -> String {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var length: UInt32 = 0
        EVP_DigestFinal_ex(context, &digest, &length)
        return Array(digest.prefix(Int(length))).hex
    }

    public static func of(_ data: some ContiguousBytes) -> String {
        var hash = ContentHash()
        data.withUnsafeBytes { hash.update($0) }
        return hash.finish()
    }

    public static func of(_ text: String) -> String { of(Array(text.utf8)) }

    /// The hash of a file, read a mebibyte at a time. Throws where it cannot be read.
    public static func ofFile(at path: String) throws -> String {
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MartletError(.notFound, "the file '\(path)' cannot be opened; check that it exists and is readable")
        }
        defer { try? file.close() }
        var hash = ContentHash()
        while let chunk = try file.read(upToCount: 1 << 20), !chunk.isEmpty {
            chunk.withUnsafeBytes { hash.update($0) }
        }
        return hash.finish()
    }

    /// Whether `text` is 64 lower-case hexadecimal digits, and so safe as a file's name.
    public static func isValid(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

extension [UInt8] {
    public var hex: String {
        String(unsafeUninitializedCapacity: 2 * count) { text in
            func digit(_ value: UInt8) -> UInt8 {
                value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
            }
            for (index, byte) in enumerated() {
                text[2 * index] = digit(byte >> 4)
                text[2 * index + 1] = digit(byte & 15)
            }
            return 2 * count
        }
    }

    /// Bytes from the operating system's cryptographic generator.
    public static func random(count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard RAND_bytes(&bytes, Int32(count)) == 1 else {
            throw MartletError(.internal, "the system's random generator failed; check /dev/urandom")
        }
        return bytes
    }
}
