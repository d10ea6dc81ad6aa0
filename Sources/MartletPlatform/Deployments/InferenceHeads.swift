import Foundation
import MartletWire
import Synchronization

/// The heads of inference messages, without the general encoder where they repeat themselves.
final class InferenceHeads: Sendable {
    private struct Shape: Hashable {
        var api: InferenceRequest.API
        var model: String?
        var headerLength: Int?
        var deadline: Int?
    }
    private let known = Mutex<[Shape: [UInt8]]>([:])

    func head(_ request: InferenceRequest) throws -> [UInt8] {
        let shape = Shape(
            api: request.api, model: request.model, headerLength: request.headerLength,
            deadline: request.deadlineMicroseconds)
        if let head = known.withLock({ $0[shape] }) { return head }
        let head = [UInt8](try JSONEncoder.wire.encode(PlatformRequest.infer(request)))
        known.withLock { known in
            if known.count >= 256 { known.removeAll() }
            known[shape] = head
        }
        return head
    }

    func reply(_ head: [UInt8]) throws -> InferenceReply {
        if let reply = Self.plainReply(head) { return reply }
        do {
            return try JSONDecoder.wire.decode(InferenceReply.self, from: Data(head))
        } catch {
            throw MartletError(
                .internal, "the model's process gave an answer that cannot be read; update both programs")
        }
    }

    /// A flat object of numbers and plain strings, which is what the engine sends; nil for anything else, which the
    /// general decoder then reads. It is on the path of every request.
    private static func plainReply(_ head: [UInt8]) -> InferenceReply? {
        var reply = InferenceReply(rows: 0, queueMicroseconds: 0, computeMicroseconds: 0)
        var scanner = FlatScanner(bytes: head)
        guard scanner.take("{") else { return nil }
        var seen = 0
        repeat {
            guard let key = scanner.string(), scanner.take(":") else { return nil }
            switch key {
            case "contentType":
                guard let value = scanner.string() else { return nil }
                reply.contentType = value
            case "headerLength":
                guard let value = scanner.number() else { return nil }
                reply.headerLength = value
                continue
            case "rows":
                guard let value = scanner.number() else { return nil }
                reply.rows = value
            case "queueMicroseconds":
                guard let value = scanner.number() else { return nil }
                reply.queueMicroseconds = value
            case "computeMicroseconds":
                guard let value = scanner.number() else { return nil }
                reply.computeMicroseconds = value
            default: return nil
            }
            seen += 1
        } while scanner.take(",")
        return seen == 4 && scanner.take("}") && scanner.isAtEnd ? reply : nil
    }
}

/// Reads compact JSON without escapes; whatever is not that gives nil.
private struct FlatScanner {
    let bytes: [UInt8]
    private var index = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(truncatingIfNeeded: character.value) else { return false }
        index += 1
        return true
    }

    mutating func string() -> String? {
        guard take("\"") else { return nil }
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            guard bytes[index] != UInt8(ascii: "\\"), bytes[index] >= 0x20 else { return nil }
            index += 1
        }
        guard index < bytes.count else { return nil }
        defer { index += 1 }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// A whole number from 0 of at most 18 digits.
    mutating func number() -> Int? {
        let start = index
        var value = 0
        while index < bytes.count, (0x30...0x39).contains(bytes[index]), index - start < 18 {
            value = value * 10 + Int(bytes[index] - 0x30)
            index += 1
        }
        return index > start ? value : nil
    }
}
