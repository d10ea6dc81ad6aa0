import MartletWire

/// How alike two texts are, from 0 to 1.
///
/// Each metric is what a public package calls by that name: `fuzzy_match` is rapidfuzz's `fuzz.ratio` / 100, `bleu`
/// sacrebleu's sentence BLEU / 100 (13a tokens, exponential smoothing, effective order), `gleu` NLTK's
/// `sentence_gleu` over words, `rouge_1` … `rouge_5` and `rouge_l` rouge-score's F1 without stemming.
public enum TextSimilarity: String, Sendable, CaseIterable {
    case fuzzyMatch = "fuzzy_match"
    case bleu, gleu
    case rouge1 = "rouge_1"
    case rouge2 = "rouge_2"
    case rouge3 = "rouge_3"
    case rouge4 = "rouge_4"
    case rouge5 = "rouge_5"
    case rougeL = "rouge_l"

    private static let scalarLimit = 1 << 17

    /// Throws `invalidData` for a text of more than 131,072 characters.
    public func score(_ text: String, reference: String) throws -> Double {
        for (name, text) in [("input", text), ("reference", reference)]
        where text.unicodeScalars.count > Self.scalarLimit {
            throw MartletError(
                .invalidData,
                "the \(name) has \(text.unicodeScalars.count) characters; \(rawValue) takes at most \(Self.scalarLimit)"
            )
        }
        switch self {
        case .fuzzyMatch: return Self.ratio(text, reference)
        case .bleu: return NGramScores.bleu(text, reference)
        case .gleu: return NGramScores.gleu(text, reference)
        case .rouge1: return NGramScores.rouge(text, reference, size: 1)
        case .rouge2: return NGramScores.rouge(text, reference, size: 2)
        case .rouge3: return NGramScores.rouge(text, reference, size: 3)
        case .rouge4: return NGramScores.rouge(text, reference, size: 4)
        case .rouge5: return NGramScores.rouge(text, reference, size: 5)
        case .rougeL: return NGramScores.rougeL(text, reference)
        }
    }

    /// 1 - insertions and deletions / both lengths.
    private static func ratio(_ left: String, _ right: String) -> Double {
        let left = left.unicodeScalars.map { Int($0.value) }, right = right.unicodeScalars.map { Int($0.value) }
        guard left.count + right.count > 0 else { return 1 }
        return Double(2 * CommonSubsequence.length(left, right)) / Double(left.count + right.count)
    }
}

/// The longest common subsequence's length, 64 places at a time (Hyyrö, 2004).
enum CommonSubsequence {
    static func length(_ left: [Int], _ right: [Int]) -> Int {
        guard !left.isEmpty, !right.isEmpty else { return 0 }
        let wordCount = (left.count + 63) / 64
        var places: [Int: [(word: Int, bits: UInt64)]] = [:]
        for (index, symbol) in left.enumerated() {
            let bit = UInt64(1) << UInt64(index % 64)
            if let last = places[symbol]?.indices.last, places[symbol]?[last].word == index / 64 {
                places[symbol]?[last].bits |= bit
            } else {
                places[symbol, default: []].append((index / 64, bit))
            }
        }
        var row = [UInt64](repeating: .max, count: wordCount)
        for symbol in right {
            guard let matches = places[symbol] else { continue }
            // A place without a match leaves its word as it is, unless a carry comes into it.
            var carry: UInt64 = 0, next = matches.startIndex
            for word in matches[0].word..<wordCount {
                let isMatch = next < matches.endIndex && matches[next].word == word
                guard isMatch || carry > 0 else {
                    guard next < matches.endIndex else { break }
                    continue
                }
                let bits = isMatch ? matches[next].bits : 0
                if isMatch { next += 1 }
                let value = row[word], common = value & bits
                let (first, overflow) = value.addingReportingOverflow(common)
                let (sum, more) = first.addingReportingOverflow(carry)
                carry = overflow || more ? 1 : 0
                row[word] = sum | (value & ~bits)
            }
        }
        let used = left.count % 64
        if used > 0 { row[wordCount - 1] |= UInt64.max << UInt64(used) }
        return row.reduce(0) { $0 + (~$1).nonzeroBitCount }
    }
}
