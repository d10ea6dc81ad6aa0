import Foundation

/// Scores that count the runs of words which two texts share.
enum NGramScores {
    private static let bleuOrder = 4

    // MARK: ROUGE

    /// The F1 of shared runs of `size` words.
    static func rouge(_ text: String, _ reference: String, size: Int) -> Double {
        let (left, right) = (counts(rougeTokens(text), size), counts(rougeTokens(reference), size))
        let common = overlap(left, right)
        let (leftTotal, rightTotal) = (total(left), total(right))
        return f1(common, max(leftTotal, 1), max(rightTotal, 1))
    }

    static func rougeL(_ text: String, _ reference: String) -> Double {
        var numbers: [String: Int] = [:]
        func numbered(_ tokens: [String]) -> [Int] {
            tokens.map { token in
                if let number = numbers[token] { return number }
                numbers[token] = numbers.count
                return numbers.count - 1
            }
        }
        let left = numbered(rougeTokens(text)), right = numbered(rougeTokens(reference))
        guard !left.isEmpty, !right.isEmpty else { return 0 }
        return f1(CommonSubsequence.length(left, right), left.count, right.count)
    }

    private static func f1(_ common: Int, _ left: Int, _ right: Int) -> Double {
        let precision = Double(common) / Double(left), recall = Double(common) / Double(right)
        return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0
    }

    /// Small letters and digits, as rouge-score cuts ASCII. Letters of other scripts count too, and one that needs no
    /// spaces between words (ideographs, kana) is a word of its own; rouge-score drops them.
    static func rougeTokens(_ text: String) -> [String] {
        var tokens: [String] = [], token = ""
        for scalar in text.lowercased().unicodeScalars {
            let isWord =
                scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                || (!token.isEmpty && scalar.properties.generalCategory == .nonspacingMark)
            let isAlone = scalar.properties.isIdeographic || (0x3040...0x30FF).contains(scalar.value)
            if !isWord || isAlone, !token.isEmpty {
                tokens.append(token)
                token = ""
            }
            if isAlone { tokens.append(String(scalar)) } else if isWord { token.unicodeScalars.append(scalar) }
        }
        return token.isEmpty ? tokens : tokens + [token]
    }

    // MARK: GLEU

    /// Shared runs of one to four words over the runs of the longer text.
    static func gleu(_ text: String, _ reference: String) -> Double {
        let left = words(text), right = words(reference)
        var common = 0, leftTotal = 0, rightTotal = 0
        for size in 1...4 {
            let (leftRuns, rightRuns) = (counts(left, size), counts(right, size))
            common += overlap(leftRuns, rightRuns)
            leftTotal += total(leftRuns)
            rightTotal += total(rightRuns)
        }
        let longest = max(leftTotal, rightTotal)
        return longest > 0 ? Double(common) / Double(longest) : 0
    }

    // MARK: BLEU

    static func bleu(_ text: String, _ reference: String) -> Double {
        let left = bleuTokens(text), right = bleuTokens(reference)
        var smoothing = 1.0, logs = 0.0, order = 0
        var hasMatch = false
        var totals: [(common: Int, total: Int)] = []
        for size in 1...bleuOrder {
            let (leftRuns, rightRuns) = (counts(left, size), counts(right, size))
            totals.append((overlap(leftRuns, rightRuns), total(leftRuns)))
            hasMatch = hasMatch || (totals.last?.common ?? 0) > 0
        }
        guard hasMatch else { return 0 }
        for (common, total) in totals {
            guard total > 0 else { break }
            order += 1
            if common == 0 {
                smoothing *= 2
                logs += log(1 / (smoothing * Double(total)))
            } else {
                logs += log(Double(common) / Double(total))
            }
        }
        guard order > 0, !left.isEmpty else { return 0 }
        let penalty = left.count < right.count ? exp(1 - Double(right.count) / Double(left.count)) : 1
        return min(1, penalty * exp(logs / Double(order)))
    }

    /// The "13a" tokens of mteval.
    private static func bleuTokens(_ text: String) -> [String] {
        var line = text.replacing("<skipped>", with: "").replacing("-\n", with: "").replacing("\n", with: " ")
        if line.contains("&") {
            line = line.replacing("&quot;", with: "\"").replacing("&amp;", with: "&").replacing("&lt;", with: "<")
                .replacing("&gt;", with: ">")
        }
        var spaced: [Unicode.Scalar] = []
        for scalar in (" " + line + " ").unicodeScalars {
            spaced += isPunctuation(scalar) ? [" ", scalar, " "] : [scalar]
        }
        let stops: [Unicode.Scalar] = [".", ","]
        let before = pairs(spaced) { first, second in
            !isDigit(first) && stops.contains(second) ? [first, " ", second, " "] : nil
        }
        let after = pairs(before) { first, second in
            stops.contains(first) && !isDigit(second) ? [" ", first, " ", second] : nil
        }
        let dashes = pairs(after) { first, second in
            isDigit(first) && second == "-" ? [first, " ", second, " "] : nil
        }
        return words(String(String.UnicodeScalarView(dashes)))
    }

    /// A pattern of two places replaced from left to right, without overlaps.
    private static func pairs(
        _ scalars: [Unicode.Scalar], _ replaced: (Unicode.Scalar, Unicode.Scalar) -> [Unicode.Scalar]?
    ) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = [], index = 0
        while index < scalars.count {
            if index + 1 < scalars.count, let other = replaced(scalars[index], scalars[index + 1]) {
                result += other
                index += 2
            } else {
                result.append(scalars[index])
                index += 1
            }
        }
        return result
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { (0x30...0x39).contains(scalar.value) }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "{"..."~", "["..."`", " "..."&", "("..."+", ":"..."@", "/": true
        default: false
        }
    }

    // MARK: Runs of words

    private static func words(_ text: String) -> [String] {
        text.unicodeScalars.split { $0.properties.isWhitespace || (0x1C...0x1F).contains($0.value) }.map { String($0) }
    }

    private static func counts(_ tokens: [String], _ size: Int) -> [ArraySlice<String>: Int] {
        var counts: [ArraySlice<String>: Int] = [:]
        guard tokens.count >= size else { return counts }
        for start in 0...(tokens.count - size) { counts[tokens[start..<start + size], default: 0] += 1 }
        return counts
    }

    private static func total(_ runs: [ArraySlice<String>: Int]) -> Int { runs.values.reduce(0, +) }

    private static func overlap(_ left: [ArraySlice<String>: Int], _ right: [ArraySlice<String>: Int]) -> Int {
        left.reduce(0) { $0 + min($1.value, right[$1.key] ?? 0) }
    }
}
