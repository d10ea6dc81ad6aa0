import Foundation
import MartletWire

/// The encodings of text that are read.
package enum TextEncoding: String, Codable, Sendable, CaseIterable {
    case utf8 = "utf-8"
    case utf16LittleEndian = "utf-16le"
    case utf16BigEndian = "utf-16be"
    case gb18030
    case latin1

    /// An encoding by the name in a recipe; `utf-16` takes its byte order from the mark at the start.
    static func named(_ name: String, sample: [UInt8]) throws -> TextEncoding {
        switch name.lowercased().replacingOccurrences(of: "_", with: "-") {
        case "utf-8", "utf8", "utf-8-sig", "ascii": return .utf8
        case "utf-16", "utf16": return sample.starts(with: [0xFE, 0xFF]) ? .utf16BigEndian : .utf16LittleEndian
        case "utf-16le": return .utf16LittleEndian
        case "utf-16be": return .utf16BigEndian
        case "gb18030", "gbk", "gb2312", "cp936": return .gb18030
        case "latin1", "latin-1", "iso-8859-1", "cp1252", "windows-1252": return .latin1
        default:
            throw MartletError(
                .invalidRecipe,
                "the encoding '\(name)' is not known; data.csv.encoding is utf-8, utf-16, gb18030 or latin1",
                param: "data.csv.encoding")
        }
    }

    /// The encoding that the first bytes of a file show. `isWhole` says that the file ends with them.
    static func infer(_ sample: [UInt8], isWhole: Bool) -> TextEncoding {
        if sample.starts(with: [0xEF, 0xBB, 0xBF]) { return .utf8 }
        if sample.starts(with: [0xFF, 0xFE]) { return .utf16LittleEndian }
        if sample.starts(with: [0xFE, 0xFF]) { return .utf16BigEndian }
        if sample.count >= 4, sample.count % 2 == 0 || !isWhole {
            let pairs = min(sample.count / 2, 512)
            let highZeros = (0..<pairs).count { sample[2 * $0] == 0 }
            let lowZeros = (0..<pairs).count { sample[2 * $0 + 1] == 0 }
            if lowZeros * 10 > pairs * 4, highZeros == 0 { return .utf16LittleEndian }
            if highZeros * 10 > pairs * 4, lowZeros == 0 { return .utf16BigEndian }
        }
        // A character that the sample's end cuts in two is no fault.
        let slack = isWhole ? 0 : 3
        if (0...slack).contains(where: { $0 <= sample.count && isUTF8(sample.dropLast($0)) }) { return .utf8 }
        if (0...slack).contains(where: { $0 <= sample.count && looksLikeGB18030(sample.dropLast($0)) }) {
            return .gb18030
        }
        return .utf8
    }

    static func isUTF8(_ bytes: some Collection<UInt8>) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    /// Whether the bytes decode, and nearly all beyond ASCII is Chinese.
    private static func looksLikeGB18030(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let decoder = try? TextDecoder(from: .gb18030, file: ""),
            let decoded = try? decoder.decode(bytes, isLast: true),
            let text = String(validating: decoded, as: UTF8.self)
        else { return false }
        var other = 0
        var chinese = 0
        for scalar in text.unicodeScalars where scalar.value > 0x7F {
            switch scalar.value {
            case 0x4E00...0x9FFF, 0x3000...0x303F, 0xFF00...0xFFEF, 0x2010...0x2030: chinese += 1
            default: other += 1
            }
        }
        return chinese > 0 && other * 10 <= chinese
    }

    var iconvName: String? {
        switch self {
        case .utf8: nil
        case .utf16LittleEndian: "UTF-16LE"
        case .utf16BigEndian: "UTF-16BE"
        case .gb18030: "GB18030"
        case .latin1: "WINDOWS-1252"
        }
    }
}

/// Turns bytes of another encoding into UTF-8, piece by piece.
final class TextDecoder {
    private let descriptor: iconv_t
    private let encoding: TextEncoding
    private let file: String
    private var rest: [UInt8] = []
    /// The line that has been reached, counted from 1; where `decode` threw, the one at fault.
    private(set) var line = 1

    init(from encoding: TextEncoding, file: String) throws {
        self.encoding = encoding
        self.file = file
        guard let name = encoding.iconvName, let descriptor = iconv_open("UTF-8", name),
            Int(bitPattern: descriptor) != -1
        else {
            throw MartletError(
                .invalidData, "this system cannot read \(encoding.rawValue); save '\(file)' as UTF-8")
        }
        self.descriptor = descriptor
    }

    deinit { iconv_close(descriptor) }

    func decode(_ bytes: some Collection<UInt8>, isLast: Bool) throws -> [UInt8] {
        var input = rest + bytes
        rest = []
        var out: [UInt8] = []
        out.reserveCapacity(input.count * 2)
        var chunk = [CChar](repeating: 0, count: 65_536)
        var status = 0
        var used = 0
        try input.withUnsafeMutableBufferPointer { buffer in
            try buffer.withMemoryRebound(to: CChar.self) { buffer in
                var start = buffer.baseAddress
                var left = buffer.count
                while left > 0 {
                    let produced = chunk.withUnsafeMutableBufferPointer { target in
                        var place = target.baseAddress
                        var room = target.count
                        status = iconv(descriptor, &start, &left, &place, &room)
                        return target.count - room
                    }
                    let code = errno
                    out.append(contentsOf: chunk[..<produced].lazy.map { UInt8(bitPattern: $0) })
                    guard status == -1 else { break }
                    if code == E2BIG { continue }
                    used = buffer.count - left
                    if code == EINVAL, !isLast { return }
                    line += out.count { $0 == 0x0A }
                    throw MartletError(
                        .invalidData,
                        "\(file), line \(line): the bytes are not \(encoding.rawValue); set data.csv.encoding, "
                            + "or save the file as UTF-8", param: "data.csv.encoding")
                }
                used = buffer.count - left
            }
        }
        rest = Array(input[used...])
        line += out.count { $0 == 0x0A }
        return out
    }
}

/// A file's text as UTF-8, without a byte order mark.
final class TextStream {
    private let bytes: ByteStream
    private let decoder: TextDecoder?
    private var pending: [UInt8] = []
    private var taken = 0
    private var atEnd = false
    private var atStart = true

    init(path: String, encoding: TextEncoding) throws {
        bytes = try ByteStream(path: path)
        decoder = encoding == .utf8 ? nil : try TextDecoder(from: encoding, file: bytes.name)
    }

    /// The line at which `read` threw, where it is known.
    var faultLine: Int? { decoder?.line }

    /// Up to `buffer.count` bytes; 0 means the end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard let decoder else {
            let count = try bytes.read(into: buffer)
            guard atStart else { return count }
            atStart = false
            guard count >= 3, buffer[0] == 0xEF, buffer[1] == 0xBB, buffer[2] == 0xBF, let start = buffer.baseAddress
            else { return count }
            memmove(start, start + 3, count - 3)
            return count == 3 ? try bytes.read(into: buffer) : count - 3
        }
        while taken == pending.count, !atEnd {
            let raw = try bytes.read(upTo: 1 << 18)
            atEnd = raw.isEmpty
            pending = try decoder.decode(raw, isLast: atEnd)
            taken = 0
            if atStart, !pending.isEmpty {
                atStart = false
                if pending.starts(with: [0xEF, 0xBB, 0xBF]) { taken = 3 }
            }
        }
        let count = min(buffer.count, pending.count - taken)
        guard count > 0, let start = buffer.baseAddress else { return 0 }
        pending.withUnsafeBytes { source in
            if let from = source.baseAddress { memcpy(start, from + taken, count) }
        }
        taken += count
        return count
    }
}
