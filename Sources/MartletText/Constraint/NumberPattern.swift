import MartletWire

/// Patterns of the numbers between two bounds, digit by digit.
enum NumberPattern {
    /// The most digits before the point of a number that has no bound.
    private static let mostDigits = 16

    /// A bound as the digits before and after its point.
    struct Decimal {
        var isNegative: Bool
        var whole: [Int]
        /// Without zeros at the end.
        var fraction: [Int]
        var isStrict: Bool

        static let zero = Decimal(isNegative: false, whole: [0], fraction: [], isStrict: false)

        var isZero: Bool { whole == [0] && fraction.isEmpty }

        var negated: Decimal {
            Decimal(isNegative: !isNegative && !isZero, whole: whole, fraction: fraction, isStrict: isStrict)
        }

        /// Nil where the bound lies past every number that is written. One that is too near to zero or has too many digits
        /// to be written out is moved to where less fits.
        init?(_ json: JSON, isLow: Bool, isStrict: Bool) {
            let text: String
            var isStrict = isStrict
            switch json {
            case .int(let value): text = String(value)
            case .double(let value):
                guard value.magnitude < 1e16 else { return nil }
                if value.magnitude >= 1e15 {
                    text = String(Int64(value.rounded(isLow ? .up : .down)))
                } else if value == 0 || value.magnitude >= 1e-4 {
                    text = value.description
                } else if isLow == (value > 0) {
                    text = value < 0 ? "-0.0001" : "0.0001"
                } else {
                    text = "0"
                    isStrict = false
                }
            default: return nil
            }
            let digits = text.drop { $0 == "-" }.split(separator: ".")
            whole = digits[0].compactMap(\.wholeNumberValue)
            fraction = digits.count > 1 ? digits[1].compactMap(\.wholeNumberValue) : []
            while fraction.last == 0 { fraction.removeLast() }
            isNegative = text.hasPrefix("-") && !(whole == [0] && fraction.isEmpty)
            self.isStrict = isStrict
        }

        init(isNegative: Bool, whole: [Int], fraction: [Int], isStrict: Bool) {
            self.isNegative = isNegative
            self.whole = whole
            self.fraction = fraction
            self.isStrict = isStrict
        }

        /// Whether this stands before `other`, both not negative.
        func isBelow(_ other: Decimal) -> Bool {
            if whole.count != other.whole.count { return whole.count < other.whole.count }
            if whole != other.whole { return whole.lexicographicallyPrecedes(other.whole) }
            return fraction.lexicographicallyPrecedes(other.fraction)
        }
    }

    /// The pattern of the numbers from `low` to `high`; nil where there is none.
    static func between(_ low: Decimal?, _ high: Decimal?, isInteger: Bool) -> String? {
        var parts: [String] = []
        if !(high?.isNegative ?? false) {
            let from = low.map { $0.isNegative ? .zero : $0 } ?? .zero
            parts += magnitudes(from, high, isInteger)
        }
        if low?.isNegative ?? true, !(low.map { $0.isZero } ?? false) {
            var from = high.map { $0.isNegative ? $0.negated : .zero } ?? .zero
            // Minus zero is left to the positive side.
            if from.isZero { from.isStrict = true }
            parts += magnitudes(from, low?.negated, isInteger).map { "-" + $0 }
        }
        return parts.isEmpty ? nil : parts.map { "(?:\($0))" }.joined(separator: "|")
    }

    private static func text(_ digits: some Sequence<Int>) -> String { digits.map(String.init).joined() }

    private static func magnitudes(_ low: Decimal, _ high: Decimal?, _ isInteger: Bool) -> [String] {
        if let high, high.isBelow(low) { return [] }
        let anyFraction = isInteger ? "" : "(?:\\.[0-9]{1,15})?"
        let top = high.map(\.whole)
        if low.whole == top {
            return fraction(between: low, high, isInteger).map { [text(low.whole) + $0] } ?? []
        }
        var parts: [String] = []
        if let fraction = fraction(between: low, nil, isInteger) { parts.append(text(low.whole) + fraction) }
        let next = successor(low.whole)
        let last = top.map(predecessor) ?? [Int](repeating: 9, count: max(mostDigits, low.whole.count))
        if !precedes(last, next) { parts += wholes(next, last).map { $0 + anyFraction } }
        if let high {
            let floor = Decimal(isNegative: false, whole: high.whole, fraction: [], isStrict: false)
            if let fraction = fraction(between: floor, high, isInteger) { parts.append(text(high.whole) + fraction) }
        }
        return parts
    }

    private static func precedes(_ left: [Int], _ right: [Int]) -> Bool {
        left.count != right.count ? left.count < right.count : left.lexicographicallyPrecedes(right)
    }

    private static func successor(_ digits: [Int]) -> [Int] {
        var digits = digits
        for index in digits.indices.reversed() {
            guard digits[index] == 9 else {
                digits[index] += 1
                return digits
            }
            digits[index] = 0
        }
        return [1] + digits
    }

    private static func predecessor(_ digits: [Int]) -> [Int] {
        var digits = digits
        for index in digits.indices.reversed() {
            guard digits[index] == 0 else {
                digits[index] -= 1
                break
            }
            digits[index] = 9
        }
        return digits.count > 1 && digits[0] == 0 ? Array(digits.dropFirst()) : digits
    }

    /// Whole numbers from `low` to `high`, one pattern a length.
    private static func wholes(_ low: [Int], _ high: [Int]) -> [String] {
        (low.count...high.count).map { count in
            let from = count == low.count ? low : [1] + [Int](repeating: 0, count: count - 1)
            let to = count == high.count ? high : [Int](repeating: 9, count: count)
            return sameLength(from[...], to[...])
        }
    }

    private static func any(_ count: Int) -> String { count == 0 ? "" : "[0-9]{\(count)}" }

    private static func sameLength(_ low: ArraySlice<Int>, _ high: ArraySlice<Int>) -> String {
        guard let first = low.first, let last = high.first else { return "" }
        if low.allSatisfy({ $0 == 0 }), high.allSatisfy({ $0 == 9 }) { return any(low.count) }
        let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
        if first == last { return "\(first)" + sameLength(lowRest, highRest) }
        var parts = ["\(first)" + sameLength(lowRest, lowRest.map { _ in 9 }[...])]
        if last - first > 1 { parts.append("[\(first + 1)-\(last - 1)]" + any(lowRest.count)) }
        parts.append("\(last)" + sameLength(highRest.map { _ in 0 }[...], highRest))
        return "(?:" + parts.joined(separator: "|") + ")"
    }

    // MARK: After the point

    /// What may follow the whole part that both bounds have (`high` nil: no bound above within it).
    private static func fraction(between low: Decimal, _ high: Decimal?, _ isInteger: Bool) -> String? {
        if isInteger {
            let isAbove = low.fraction.isEmpty && !low.isStrict
            let isBelow = high.map { !$0.fraction.isEmpty || !$0.isStrict } ?? true
            return isAbove && isBelow ? "" : nil
        }
        let count = max(low.fraction.count, high?.fraction.count ?? 0)
        let from = low.fraction + [Int](repeating: 0, count: count - low.fraction.count)
        let to = high.map { $0.fraction + [Int](repeating: 0, count: count - $0.fraction.count) }
        let digits = digits(from[...], to.map { $0[...] }, low.isStrict, high?.isStrict ?? false)
        let isBare =
            low.fraction.isEmpty && !low.isStrict && (high.map { !$0.fraction.isEmpty || !$0.isStrict } ?? true)
        guard let digits else { return isBare ? "" : nil }
        return isBare ? "(?:\\.\(digits))?" : "\\.\(digits)"
    }

    /// Digits (at least one) from `low` to `high`, both of one length; nil where there are none.
    private static func digits(
        _ low: ArraySlice<Int>, _ high: ArraySlice<Int>?, _ isLowStrict: Bool, _ isHighStrict: Bool
    ) -> String? {
        guard let first = low.first else {
            guard high == nil else { return isLowStrict || isHighStrict ? nil : "0{1,3}" }
            return isLowStrict ? "0{0,14}[1-9][0-9]{0,14}" : "[0-9]{1,15}"
        }
        let lowRest = low.dropFirst()
        let last = high?.first
        var parts: [String] = []
        func append(_ digit: Int, _ rest: String?, mayEnd: Bool) {
            switch (rest, mayEnd) {
            case (let rest?, true): parts.append("\(digit)(?:\(rest))?")
            case (let rest?, false): parts.append("\(digit)(?:\(rest))")
            case (nil, true): parts.append("\(digit)")
            case (nil, false): break
            }
        }
        let isLowEnd = lowRest.allSatisfy { $0 == 0 }
        if first == last {
            let highRest = high?.dropFirst() ?? []
            let mayEnd = isLowEnd && !isLowStrict && (!isHighStrict || highRest.contains { $0 != 0 })
            append(first, digits(lowRest, highRest, isLowStrict, isHighStrict), mayEnd: mayEnd)
        } else {
            append(first, digits(lowRest, nil, isLowStrict, false), mayEnd: isLowEnd && !isLowStrict)
            let top = last.map { $0 - 1 } ?? 9
            if top >= first + 1 { parts.append("[\(first + 1)-\(top)][0-9]{0,14}") }
            if let last, let high {
                let highRest = high.dropFirst()
                let zeros = highRest.map { _ in 0 }
                let mayEnd = !isHighStrict || highRest.contains { $0 != 0 }
                append(last, digits(zeros[...], highRest, false, isHighStrict), mayEnd: mayEnd)
            }
        }
        return parts.isEmpty ? nil : "(?:" + parts.joined(separator: "|") + ")"
    }
}
