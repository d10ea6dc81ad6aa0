/// How many characters a pattern matches.
struct PatternLength: Equatable {
    var least: Int
    /// nil is any number.
    var most: Int?

    static let one = PatternLength(least: 1, most: 1)

    /// Whether all of it lies from `minimum` to `maximum`.
    func isWithin(_ minimum: Int, _ maximum: Int?) -> Bool {
        guard let maximum else { return least >= minimum }
        return least >= minimum && most.map { $0 <= maximum } ?? false
    }

    /// Numbers that are too large for any answer stay the largest there is.
    static func + (left: PatternLength, right: PatternLength) -> PatternLength {
        PatternLength(
            least: sum(left.least, right.least),
            most: left.most.flatMap { most in right.most.map { sum(most, $0) } })
    }

    func times(_ minimum: Int, _ maximum: Int?) -> PatternLength {
        let most = most.flatMap { most in most == 0 ? 0 : maximum.map { Self.product(most, $0) } }
        return PatternLength(least: Self.product(least, minimum), most: most)
    }

    private static func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, isTooLarge) = left.addingReportingOverflow(right)
        return isTooLarge ? .max : sum
    }

    private static func product(_ left: Int, _ right: Int) -> Int {
        let (product, isTooLarge) = left.multipliedReportingOverflow(by: right)
        return isTooLarge ? .max : product
    }
}

extension PatternNode {
    var length: PatternLength {
        switch self {
        case .set: return .one
        case .sequence(let parts): return parts.reduce(PatternLength(least: 0, most: 0)) { $0 + $1.length }
        case .choice(let parts):
            let lengths = parts.map(\.length)
            let most = lengths.contains { $0.most == nil } ? nil : lengths.compactMap(\.most).max()
            return PatternLength(least: lengths.map(\.least).min() ?? 0, most: most)
        case .repeated(let part, let minimum, let maximum): return part.length.times(minimum, maximum)
        }
    }
}

extension PatternAlternative {
    /// The same, of `minimum` to `maximum` characters: it is so anyway, or becomes so by the count of the one character of
    /// it that may come more or less often. Nil where it takes more than that.
    func held(to minimum: Int, _ maximum: Int?) -> PatternAlternative? {
        var length = body.length
        if !startsAtStart || !endsAtEnd { length.most = nil }
        if length.isWithin(minimum, maximum) { return self }
        guard startsAtStart, endsAtEnd else { return nil }
        var parts = [body]
        if case .sequence(let all) = body { parts = all }
        let loose = parts.indices.filter { parts[$0].length.least != parts[$0].length.most }
        guard loose.count == 1, case .repeated(.set(let set), let least, let most) = parts[loose[0]] else { return nil }
        let fixed = parts.indices.filter { $0 != loose[0] }.reduce(0) { $0 + parts[$1].length.least }
        let fewest = max(least, minimum - fixed)
        let mostOfAll = [most, maximum.map { $0 - fixed }].compactMap { $0 }.min()
        if let mostOfAll, mostOfAll < fewest { return nil }
        parts[loose[0]] = .repeated(.set(set), minimum: fewest, maximum: mostOfAll)
        return PatternAlternative(startsAtStart: true, endsAtEnd: true, body: .sequence(parts))
    }
}
