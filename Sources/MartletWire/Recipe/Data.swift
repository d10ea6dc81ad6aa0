/// The `data` section of a recipe.
public struct DataConfig: Codable, Sendable, Equatable {
    public var source = DataSource()
    public var csv = CSVConfig()
    /// For a language model: the column of a table or of JSON lines that holds the texts.
    public var column: String = "text"
    public var clean: [CleanStep] = []
    public var split = SplitConfig()
    public var augment: [AugmentStep] = []
    public init() {}
}

/// Where rows come from: datasets (`name` or `name@version`) or paths, by the split that they feed.
public struct DataSource: Codable, Sendable, Equatable {
    /// Rows that `split` divides; empty where the data comes split.
    public var all: [String] = []
    public var train: [String] = []
    public var validation: [String] = []
    public var test: [String] = []
    public init() {}
}

/// How a CSV is written; nil means inferred from the file and reported.
public struct CSVConfig: Codable, Sendable, Equatable {
    public var delimiter: String?
    /// `.` or `,`.
    public var decimal: String?
    /// `utf-8`, `gb18030`, `utf-16`, `latin1`.
    public var encoding: String?
    /// Cells that mean "no value".
    public var missing: [String]?
    /// Whether the first row names the columns.
    public var header: Bool?
    public init() {}
}

/// One cleaning step; steps run in order and each reports what it changed.
public enum CleanStep: Codable, Sendable, Equatable {
    public enum Fill: Codable, Sendable, Equatable {
        case mean, median, mode, forward
        case constant(String)
    }
    public enum Cast: String, Codable, Sendable, CaseIterable { case number, category, text, boolean }

    /// Rows with a missing value in one of `columns` (all, where empty) go.
    case dropMissing(columns: [String])
    case fill(columns: [String], with: Fill)
    /// Rows equal to an earlier one in `columns` (all, where empty) go.
    case dropDuplicates(columns: [String])
    case clip(columns: [String], low: Double?, high: Double?)
    case replace(columns: [String], values: [String: String])
    case cast(columns: [String], to: Cast)
    case dropColumns(columns: [String])
}

/// How rows are divided into training, validation and test.
public struct SplitConfig: Codable, Sendable, Equatable {
    public enum Order: String, Codable, Sendable, CaseIterable { case random, sequential }
    public var train: Double = 0.8
    public var validation: Double = 0.1
    public var test: Double = 0.1
    public var seed: Int = 7
    /// Keep the proportions of this column's values in each split.
    public var stratify: String?
    /// A column whose values are `train`, `validation`, `test`.
    public var by: String?
    public var order: Order = .random
    /// Cross-validation: each fold is reported, then one model is trained on all.
    public var folds: Int?
    public init() {}
}

/// One augmentation of images, applied to training rows only, keyed by (seed, step, row).
public enum AugmentStep: Codable, Sendable, Equatable {
    public enum Axis: String, Codable, Sendable, CaseIterable { case horizontal, vertical }
    /// Mirror with probability one half.
    case flip(Axis)
    /// Pad with zeros by `padding` pixels, then cut the original size at a random place.
    case crop(padding: Int)
    /// Turn by up to ±`degrees`.
    case rotate(degrees: Double)
    /// Add normal noise with this standard deviation (of values scaled to 0…1; also for number and vector inputs).
    case noise(standardDeviation: Double)
    /// Blank a random square of `size` pixels.
    case cutout(size: Int)
}
