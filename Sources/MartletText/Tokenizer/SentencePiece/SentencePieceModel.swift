import Foundation
import MartletWire

/// A SentencePiece `.model` file (Kudo and Richardson, 2018): its pieces, and how text is prepared for them.
public struct SentencePieceModel: Sendable {
    enum Kind: UInt64, Sendable {
        case unigram = 1
        case bpe = 2
        case word = 3
        case character = 4
    }

    enum PieceKind: UInt64, Sendable {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    struct Piece: Sendable {
        var text: [UInt8] = []
        var score: Float = 0
        var kind = PieceKind.normal
    }

    private(set) var pieces: [Piece] = []
    private(set) var kind = Kind.unigram
    private(set) var fallsBackToBytes = false
    private(set) var isSuffixed = false
    private(set) var characterMap: [UInt8] = []
    private(set) var addsSpace = true
    private(set) var removesSpaces = true
    private(set) var escapesSpaces = true
    private(set) var beginId = 1
    private(set) var endId = 2
    private(set) var padId = -1

    /// Reads a file's bytes. Throws `invalidData` for a damaged one and `unsupportedFormat` for a kind that is not known.
    public init(_ data: some ContiguousBytes) throws {
        let bytes = data.withUnsafeBytes { [UInt8]($0) }
        var reader = ProtobufReader(bytes[...])
        while let (field, value) = try reader.next() {
            guard case .bytes(let message) = value else { continue }
            switch field {
            case 1: pieces.append(try Self.piece(message))
            case 2: try readTrainer(message)
            case 3: try readNormalizer(message)
            default: break
            }
        }
        guard !pieces.isEmpty else {
            throw MartletError(
                .invalidData, "the file is no SentencePiece model: it has no pieces; name its .model file")
        }
        guard kind != .word || !fallsBackToBytes else {
            throw MartletError(
                .unsupportedFormat,
                "the SentencePiece model is of the kind 'word' with byte_fallback, which is not supported; train it without"
            )
        }
        guard !isSuffixed, escapesSpaces else {
            throw MartletError(
                .unsupportedFormat,
                "the SentencePiece model has \(isSuffixed ? "treat_whitespace_as_suffix" : "no escape_whitespaces"), "
                    + "which is not supported; train it with the defaults")
        }
    }

    private static func piece(_ message: ArraySlice<UInt8>) throws -> Piece {
        var piece = Piece()
        var reader = ProtobufReader(message)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let text)):
                guard String(validating: text, as: UTF8.self) != nil else {
                    throw MartletError(
                        .invalidData, "the SentencePiece file has a piece that is not UTF-8; copy it again")
                }
                piece.text = Array(text)
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .number(let number)):
                guard let kind = PieceKind(rawValue: number) else {
                    throw MartletError(
                        .unsupportedFormat, "the SentencePiece file has a piece of the unknown kind \(number)")
                }
                piece.kind = kind
            default: break
            }
        }
        guard piece.score.isFinite else {
            throw MartletError(.invalidData, "the SentencePiece file has a score that is not finite; copy it again")
        }
        return piece
    }

    private mutating func readTrainer(_ message: ArraySlice<UInt8>) throws {
        var reader = ProtobufReader(message)
        while let (field, value) = try reader.next() {
            guard case .number(let number) = value else { continue }
            switch field {
            case 3:
                guard let known = Kind(rawValue: number) else {
                    throw MartletError(.unsupportedFormat, "the SentencePiece model is of the unknown kind \(number)")
                }
                kind = known
            case 24: isSuffixed = number != 0
            case 35: fallsBackToBytes = number != 0
            // Negative numbers come as 64 bits, the last of which is the sign.
            case 41: beginId = Int(Int32(truncatingIfNeeded: number))
            case 42: endId = Int(Int32(truncatingIfNeeded: number))
            case 43: padId = Int(Int32(truncatingIfNeeded: number))
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ message: ArraySlice<UInt8>) throws {
        var reader = ProtobufReader(message)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (2, .bytes(let map)): characterMap = Array(map)
            case (3, .number(let number)): addsSpace = number != 0
            case (4, .number(let number)): removesSpaces = number != 0
            case (5, .number(let number)): escapesSpaces = number != 0
            default: break
            }
        }
    }
}
