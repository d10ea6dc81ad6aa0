import Foundation
import MartletWire

/// One example's tokens, and which of them the loss is on.
public struct TokenExample: Sendable, Equatable {
    public var tokens: [Int64]
    /// As many as tokens.
    public var isLearnt: [Bool]

    public init(tokens: [Int64], isLearnt: [Bool]) {
        self.tokens = tokens
        self.isLearnt = isLearnt
    }
}

/// Examples of different lengths in files that are mapped into memory, in the order in which they were written.
public struct TokenExamples: Sendable {
    /// Tokens as UInt32, the highest bit set where the loss is on it.
    private let tokens: MappedFile
    /// For each example the end of its tokens and how many of them are learnt, as UInt64.
    private let index: MappedFile

    fileprivate static let learntBit: UInt32 = 1 << 31

    fileprivate init(_ tokens: MappedFile, _ index: MappedFile) {
        self.tokens = tokens
        self.index = index
    }

    /// Examples that an earlier process wrote; nil where the files are not whole.
    public init?(path: String, count: Int, tokenCount: Int) {
        guard let tokens = try? MappedFile(path: "\(path).tokens", byteCount: tokenCount * 4),
            let index = try? MappedFile(path: "\(path).index", byteCount: count * 16),
            Self.size("\(path).tokens") == tokenCount * 4, Self.size("\(path).index") == count * 16
        else { return nil }
        self.init(tokens, index)
    }

    private static func size(_ path: String) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? NSNumber)?.intValue
    }

    public var count: Int { index.byteCount / 16 }
    public var tokenCount: Int { tokens.byteCount / 4 }

    private func entry(_ example: Int) -> (end: Int, learnt: Int) {
        precondition(example >= 0 && example < count, "an example past the end was asked for")
        guard let base = index.base else { return (0, 0) }
        let numbers = (base + example * 16).assumingMemoryBound(to: UInt64.self)
        return (Int(numbers[0]), Int(numbers[1]))
    }

    private func range(_ example: Int) -> Range<Int> {
        (example == 0 ? 0 : entry(example - 1).end)..<entry(example).end
    }

    public func length(_ example: Int) -> Int { range(example).count }

    /// How many tokens of the example the loss is on.
    public func learntCount(_ example: Int) -> Int { entry(example).learnt }

    public subscript(_ example: Int) -> TokenExample {
        let range = range(example)
        guard let base = tokens.base else { return TokenExample(tokens: [], isLearnt: []) }
        let words = UnsafeBufferPointer(
            start: (base + range.lowerBound * 4).assumingMemoryBound(to: UInt32.self), count: range.count)
        return TokenExample(
            tokens: words.map { Int64($0 & ~Self.learntBit) }, isLearnt: words.map { $0 & Self.learntBit != 0 })
    }
}

/// Writes examples to a job's cache, one after another.
public final class TokenExampleWriter {
    private let tokens: CacheFileWriter
    private let index: CacheFileWriter
    private var end = 0
    public private(set) var count = 0
    public private(set) var tokenCount = 0
    public private(set) var learntCount = 0

    /// - Parameter path: what the files' names begin with.
    public init(path: String) throws {
        tokens = try CacheFileWriter(path: "\(path).tokens", unit: 4)
        index = try CacheFileWriter(path: "\(path).index", unit: 16)
    }

    public func append(_ example: TokenExample) throws {
        var learnt = 0
        for (token, isLearnt) in zip(example.tokens, example.isLearnt) {
            let word = UInt32(truncatingIfNeeded: token) | (isLearnt ? TokenExamples.learntBit : 0)
            try tokens.append(4) { $0.storeBytes(of: word, as: UInt32.self) }
            if isLearnt { learnt += 1 }
        }
        end += example.tokens.count
        try index.append(16) {
            $0.storeBytes(of: UInt64(end), as: UInt64.self)
            ($0 + 8).storeBytes(of: UInt64(learnt), as: UInt64.self)
        }
        count += 1
        tokenCount += example.tokens.count
        learntCount += learnt
    }

    /// Writes what is left and maps the files.
    public func finish() throws -> TokenExamples {
        TokenExamples(try tokens.finish(), try index.finish())
    }
}
