import Foundation

/// Events as the heads of frames. Text is written and read without the general coder: it is every token of every stream.
extension GenerationEvent {
    private static let textMark: UInt8 = 1

    /// `1 · u32 choice, little-endian · UTF-8` for text without log probabilities, else JSON.
    public var head: [UInt8] {
        get throws {
            guard case .text(let choice, let text, let tokens) = self, tokens.isEmpty else {
                return [UInt8](try JSONEncoder.wire.encode(self))
            }
            var bytes: [UInt8] = [Self.textMark]
            bytes.appendLittleEndian(UInt32(truncatingIfNeeded: choice))
            bytes.append(contentsOf: text.utf8)
            return bytes
        }
    }

    /// Throws `internal` where the bytes are no event.
    public init(head: [UInt8]) throws {
        let damaged = MartletError(
            .internal, "the model's process gave an answer that cannot be read; update both programs")
        if head.first == Self.textMark {
            guard head.count >= 5 else { throw damaged }
            let choice = (0..<4).reduce(0) { $0 | Int(head[1 + $1]) << (8 * $1) }
            self = .text(choice: choice, String(decoding: head[5...], as: UTF8.self), tokens: [])
            return
        }
        do {
            self = try JSONDecoder.wire.decode(GenerationEvent.self, from: Data(head))
        } catch {
            throw damaged
        }
    }
}
