import Foundation
import MartletWire

/// Tokens of many texts one after another, in a file that is mapped into memory.
public struct TokenSequence: Sendable {
    private let file: MappedFile
    private let range: Range<Int>

    init(_ file: MappedFile) {
        self.init(file, 0..<file.byteCount / 4)
    }

    private init(_ file: MappedFile, _ range: Range<Int>) {
        self.file = file
        self.range = range
    }

    public var count: Int { range.count }

    /// Tokens [start, start + count), as int64. `count` beyond the end is a fault of the caller's.
    public func copy(_ start: Int, _ count: Int, to target: UnsafeMutablePointer<Int64>) {
        precondition(start >= 0 && count >= 0 && start + count <= self.count, "tokens past the end were asked for")
        guard let base = file.base else { return }
        let tokens = (base + (range.lowerBound + start) * 4).assumingMemoryBound(to: UInt32.self)
        for index in 0..<count { target[index] = Int64(tokens[index]) }
    }

    /// The first tokens and the last `tail`.
    func cut(tail: Int) -> (TokenSequence, TokenSequence) {
        let middle = range.upperBound - min(max(tail, 0), count)
        return (
            TokenSequence(file, range.lowerBound..<middle), TokenSequence(file, middle..<range.upperBound)
        )
    }
}

/// The tokens that a language model trains on and is measured by.
public struct TokenData: Sendable {
    public let train: TokenSequence
    public let validation: TokenSequence
    public let test: TokenSequence
    public let documentCount: Int
    /// What a person should know of how they were divided.
    public let remarks: [String]

    public subscript(_ split: Split) -> TokenSequence {
        switch split {
        case .train: train
        case .validation: validation
        case .test: test
        }
    }

    /// Divides the documents as the recipe says and writes their tokens to `cacheDirectory`.
    ///
    /// Documents stay whole; where there are too few for a share, the end of the training tokens is held out instead.
    /// - Parameters:
    ///   - encode: a text to tokens.
    ///   - end: the token after each document, where there is one.
    public static func prepare(
        _ documents: Documents, config: SplitConfig, cacheDirectory: String, end: Int?,
        encode: (String) throws -> [Int]
    ) throws -> TokenData {
        let given = documents.givenSplits
        var splitter = try Splitter(
            config, hasValidation: given.contains(.validation), hasTest: given.contains(.test), fold: nil)
        let row = Row()
        try documents.forEach { part in
            if part.isLast { try splitter.add(row, given: part.split, label: nil) }
        }
        let isDivided = splitter.isOpen
        _ = try splitter.assign()
        let codes = splitter.codes
        try FileManager.default.createDirectory(atPath: cacheDirectory, withIntermediateDirectories: true)
        let writers = try Split.allCases.map {
            try CacheFileWriter(path: "\(cacheDirectory)/\($0.rawValue).tokens", unit: 4)
        }
        try documents.forEach { part in
            guard part.document < codes.count else {
                throw MartletError(.invalidData, "the texts grew while they were read; start again")
            }
            let code = Int(codes[part.document])
            guard code < writers.count else { return }
            func append(_ token: Int) throws {
                try writers[code].append(4) { $0.storeBytes(of: UInt32(truncatingIfNeeded: token), as: UInt32.self) }
            }
            for token in try encode(part.text) { try append(token) }
            if part.isLast, let end { try append(end) }
        }
        var sequences = try writers.map { TokenSequence(try $0.finish()) }
        var remarks = documents.remarks
        let total = sequences[0].count
        // What came split stays as it is.
        for (index, share) in [(2, config.test), (1, config.validation)]
        where isDivided && share > 0 && sequences[index].count == 0 {
            let tail = Int(Double(total) * share)
            guard tail > 0 else { continue }
            (sequences[0], sequences[index]) = sequences[0].cut(tail: tail)
            remarks.append(
                "too few documents for a \(Split.allCases[index].rawValue) share of \(share): the last \(tail) training "
                    + "tokens are held out instead")
        }
        return TokenData(
            train: sequences[0], validation: sequences[1], test: sequences[2], documentCount: codes.count,
            remarks: remarks)
    }
}
