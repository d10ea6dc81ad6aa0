/// Python's methods of strings, by code points.
extension TemplateText {
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
    }

    static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    enum Side { case left, right, both }

    static func stripped(_ text: String, _ characters: String?, _ side: Side = .both) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func isCut(_ scalar: Unicode.Scalar) -> Bool { set.map { $0.contains(scalar) } ?? isSpace(scalar) }
        var view = text.unicodeScalars[...]
        if side != .right { view = view.drop(while: isCut) }
        if side != .left {
            while let last = view.last, isCut(last) { view.removeLast() }
        }
        return String(view)
    }

    /// `split` and `rsplit`: on white space where `separator` is nil, at most `limit` times where it is not negative.
    static func split(_ text: String, _ separator: String?, limit: Int, fromRight: Bool = false) throws -> [String] {
        guard let separator else { return splitSpace(Array(text.unicodeScalars), limit: limit, fromRight: fromRight) }
        guard !separator.isEmpty else { throw TemplateFault("'split' needs a separator that is not empty") }
        var places = ranges(of: separator, in: text, limit: limit < 0 || fromRight ? .max : limit)
        if fromRight, limit >= 0 { places = Array(places.suffix(limit)) }
        var parts: [String] = []
        var start = 0
        let bytes = Array(text.utf8)
        for place in places {
            parts.append(String(decoding: bytes[start..<place.lowerBound], as: UTF8.self))
            start = place.upperBound
        }
        parts.append(String(decoding: bytes[start...], as: UTF8.self))
        return parts
    }

    private static func splitSpace(_ scalars: [Unicode.Scalar], limit: Int, fromRight: Bool) -> [String] {
        let scalars = fromRight ? scalars.reversed() : scalars
        var parts: [[Unicode.Scalar]] = []
        var index = 0
        while true {
            while index < scalars.count, isSpace(scalars[index]) { index += 1 }
            guard index < scalars.count else { break }
            if limit >= 0, parts.count == limit {
                parts.append(Array(scalars[index...]))
                break
            }
            let start = index
            while index < scalars.count, !isSpace(scalars[index]) { index += 1 }
            parts.append(Array(scalars[start..<index]))
        }
        return fromRight ? parts.reversed().map { string($0.reversed()) } : parts.map { string($0) }
    }

    /// Runs of letters, digits and `_`.
    static func wordCount(_ text: String) -> Int {
        var count = 0
        var isInWord = false
        for scalar in text.unicodeScalars {
            let isPart = scalar == "_" || isLetter(scalar) || scalar.properties.numericType != nil
            if isPart, !isInWord { count += 1 }
            isInWord = isPart
        }
        return count
    }

    static func replaced(_ text: String, _ old: String, _ new: String, limit: Int) -> String {
        if old.isEmpty {
            var out = String.UnicodeScalarView()
            var left = limit < 0 ? Int.max : limit
            for scalar in text.unicodeScalars {
                if left > 0 {
                    out.append(contentsOf: new.unicodeScalars)
                    left -= 1
                }
                out.append(scalar)
            }
            if left > 0 { out.append(contentsOf: new.unicodeScalars) }
            return String(out)
        }
        let places = ranges(of: old, in: text, limit: limit < 0 ? .max : limit)
        guard !places.isEmpty else { return text }
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var start = 0
        for place in places {
            out += bytes[start..<place.lowerBound]
            out += new.utf8
            start = place.upperBound
        }
        out += bytes[start...]
        return String(decoding: out, as: UTF8.self)
    }

    static func lines(_ text: String, keepsEnds: Bool) -> [String] {
        let scalars = Array(text.unicodeScalars)
        var lines: [String] = []
        var start = 0
        var index = 0
        while index < scalars.count {
            switch scalars[index] {
            case "\n", "\r", "\u{B}", "\u{C}", "\u{1C}"..."\u{1E}", "\u{85}", "\u{2028}", "\u{2029}":
                let end = index
                index += scalars[index] == "\r" && index + 1 < scalars.count && scalars[index + 1] == "\n" ? 2 : 1
                lines.append(string(scalars[start..<(keepsEnds ? index : end)]))
                start = index
            default: index += 1
            }
        }
        if start < scalars.count { lines.append(string(scalars[start...])) }
        return lines
    }

    /// `title` of Python: a letter after something that is not a letter is large.
    static func titled(_ text: String) -> String {
        var out = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            let isLetter = scalar.properties.isCased
            out += isLetter && !isInWord ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
            isInWord = isLetter
        }
        return out
    }

    static func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return text }
        return first.properties.titlecaseMapping + String(text.unicodeScalars.dropFirst()).lowercased()
    }

    static func swappedCase(_ text: String) -> String {
        text.unicodeScalars.map {
            $0.properties.isUppercase ? $0.properties.lowercaseMapping : $0.properties.uppercaseMapping
        }.joined()
    }

    /// Python's predicates: true only where there is something and all of it is so.
    static func isAll(_ text: String, _ test: (Unicode.Scalar) -> Bool) -> Bool {
        !text.isEmpty && text.unicodeScalars.allSatisfy(test)
    }

    static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    static func isDigit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
    }

    static func isCase(_ text: String, upper: Bool) -> Bool {
        var isFound = false
        for scalar in text.unicodeScalars {
            if upper ? scalar.properties.isLowercase : scalar.properties.isUppercase { return false }
            if upper ? scalar.properties.isUppercase : scalar.properties.isLowercase { isFound = true }
        }
        return isFound
    }
}
