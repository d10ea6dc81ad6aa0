import MartletWire

/// Decides which rows train, validate and test, from one pass over them; the same seed gives the same rows.
///
/// Counts are exact (largest remainder) and the choice is uniform (Knuth's selection sampling), with one byte a row.
struct Splitter {
    static let train: UInt8 = 0
    static let validation: UInt8 = 1
    static let test: UInt8 = 2
    static let dropped: UInt8 = 3
    /// To be divided.
    private static let open: UInt8 = 4

    private let config: SplitConfig
    private var strata: [UInt32] = []
    private var stratumTable = ByteTable()
    /// The split of each row, in the order of the sources.
    private(set) var codes: [UInt8] = []
    private let hasValidation: Bool
    private let hasTest: Bool
    private let fold: Int?

    /// `hasValidation`, `hasTest`: whether some rows come with that split.
    init(_ config: SplitConfig, hasValidation: Bool, hasTest: Bool, fold: Int?) throws {
        self.config = config
        self.hasValidation = hasValidation
        self.hasTest = hasTest
        self.fold = fold
        if let fold, fold < 0 || fold >= config.folds ?? 0 {
            throw MartletError(
                .invalidRecipe, "fold \(fold) is not one of \(config.folds ?? 0)", param: "data.split.folds")
        }
        if let folds = config.folds, folds < 2 {
            throw MartletError(
                .invalidRecipe, "data.split.folds is \(folds); give 2 or more", param: "data.split.folds")
        }
        for (name, value) in [("train", config.train), ("validation", config.validation), ("test", config.test)]
        where !(value >= 0 && value.isFinite) {
            throw MartletError(
                .invalidRecipe, "data.split.\(name) is \(value); give a share of 0 or more", param: "data.split.\(name)"
            )
        }
    }

    mutating func drop() { append(Self.dropped, nil) }

    /// A row that stays. `label` is its value of `by` or `stratify`, nil where it has none.
    mutating func add(_ row: Row, given: Split?, label: Cell?) throws {
        if let column = config.by, given == nil {
            guard let label, !label.isMissing, let split = Split.named(label.string) else {
                throw row.fault(
                    column, label ?? .missing, "is not train, validation or test",
                    remedy: "mend it or change data.split.by")
            }
            append(Self.code(split), nil)
            return
        }
        let isOpen = given == nil || (given == .train && !hasValidation)
        append(isOpen ? Self.open : Self.code(given ?? .train), label)
    }

    private mutating func append(_ code: UInt8, _ label: Cell?) {
        codes.append(code)
        if config.stratify != nil {
            strata.append(label.map { UInt32(stratumTable.insert($0.bytes)) } ?? 0)
        }
    }

    private static func code(_ split: Split) -> UInt8 {
        switch split {
        case .train: train
        case .validation: validation
        case .test: test
        }
    }

    /// Whether rows are left to divide.
    var isOpen: Bool { codes.contains(Self.open) }

    /// Divides the open rows and returns how many each split has.
    mutating func assign() throws -> [Split: Int] {
        let groups = max(1, stratumTable.count)
        var totals = [Int](repeating: 0, count: groups)
        for (index, code) in codes.enumerated() where code == Self.open { totals[stratum(index)] += 1 }
        var shares = [config.train, config.validation, hasTest ? 0 : config.test]
        if hasValidation { shares[1] = 0 }
        if let folds = config.folds { shares = Array(repeating: 1, count: folds) }
        let sum = shares.reduce(0, +)
        guard sum > 0 else {
            throw MartletError(
                .invalidRecipe, "the shares of data.split are all 0; give train more than 0", param: "data.split")
        }
        if let folds = config.folds, totals.reduce(0, +) < folds {
            throw MartletError(
                .invalidData,
                "data.split.folds is \(folds), and \(totals.reduce(0, +)) rows are left to divide; give fewer folds or more rows",
                param: "data.split.folds")
        }
        var owed = [Double](repeating: 0, count: shares.count)
        var left = totals.map { Self.divide($0, shares.map { $0 / sum }, &owed) }
        var random = CounterRandom(seed: UInt64(bitPattern: Int64(config.seed)), purpose: 1)
        for index in codes.indices where codes[index] == Self.open {
            let group = stratum(index)
            var choice = 0
            if config.order == .sequential {
                choice = left[group].firstIndex { $0 > 0 } ?? 0
            } else {
                var ticket = random.below(max(1, left[group].reduce(0, +)))
                while choice < shares.count - 1, ticket >= left[group][choice] {
                    ticket -= left[group][choice]
                    choice += 1
                }
            }
            left[group][choice] -= 1
            codes[index] =
                config.folds == nil
                ? UInt8(choice) : fold.map { $0 == choice ? Self.validation : Self.train } ?? Self.train
        }
        var counts: [Split: Int] = [.train: 0, .validation: 0, .test: 0]
        for code in codes {
            switch code {
            case Self.train: counts[.train, default: 0] += 1
            case Self.validation: counts[.validation, default: 0] += 1
            case Self.test: counts[.test, default: 0] += 1
            default: break
            }
        }
        guard counts[.train, default: 0] > 0 else {
            throw MartletError(
                .invalidData, "no row is left to train on; check data.source, data.clean and data.split.train")
        }
        return counts
    }

    private func stratum(_ index: Int) -> Int { strata.isEmpty ? 0 : Int(strata[index]) }

    /// `count` in parts of these shares; what rounding leaves goes to the largest remainders, with what each share is `owed`
    /// from the strata before: labels of a few rows each would else all leave out the same split.
    private static func divide(_ count: Int, _ shares: [Double], _ owed: inout [Double]) -> [Int] {
        let exact = shares.map { $0 * Double(count) }
        var parts = exact.map { Int($0 + 1e-9) }
        for index in shares.indices { owed[index] += exact[index] - Double(parts[index]) }
        let order = shares.indices.sorted {
            abs(owed[$0] - owed[$1]) > 1e-9 ? owed[$0] > owed[$1] : $0 < $1
        }
        for index in order.prefix(max(0, count - parts.reduce(0, +))) {
            parts[index] += 1
            owed[index] -= 1
        }
        return parts
    }
}
