/// An entry of a job's history.
public struct JobEvent: Codable, Sendable, Equatable {
    /// Unique in the job and the same when a resumed job reaches the same point again: `epoch-3`, `checkpoint-1200`.
    public var key: String
    /// `message`, `data`, `metrics`, `checkpoint`, `warning`.
    public var type: String
    public var level: String
    public var message: String
    public var data: JSON
    public init(key: String, type: String, level: String = "info", message: String, data: JSON = .null) {
        self.key = key
        self.type = type
        self.level = level
        self.message = message
        self.data = data
    }
}

/// Files that a worker leaves in its job's folder for the platform to give out.
public enum JobFile {
    /// The rows that could not be used: a JSON object a line with `file`, `line`, `column`, `value` and `reason`.
    public static let badRows = "bad-rows.jsonl"
}

/// Where a job is, for a progress bar.
public struct JobProgress: Codable, Sendable, Equatable {
    /// `preparing`, `training`, `evaluating`, `publishing`.
    public var phase: String
    public var step: Int
    public var totalSteps: Int
    public var epoch: Int
    public var totalEpochs: Int
    public var loss: Double?
    /// The first metric of the first output on the training rows: its name and value.
    public var metric: String?
    public var metricValue: Double?
    /// `images`, `rows` or `tokens` a second.
    public var unit: String
    public var perSecond: Double
    public var secondsLeft: Double?
    public init(
        phase: String, step: Int = 0, totalSteps: Int = 0, epoch: Int = 0, totalEpochs: Int = 0, loss: Double? = nil,
        metric: String? = nil, metricValue: Double? = nil, unit: String = "rows", perSecond: Double = 0,
        secondsLeft: Double? = nil
    ) {
        self.phase = phase
        self.step = step
        self.totalSteps = totalSteps
        self.epoch = epoch
        self.totalEpochs = totalEpochs
        self.loss = loss
        self.metric = metric
        self.metricValue = metricValue
        self.unit = unit
        self.perSecond = perSecond
        self.secondsLeft = secondsLeft
    }
}

/// What a job leaves: for training a bundle folder, for evaluation and profiling a report.
public struct JobResult: Codable, Sendable {
    /// Relative to the job's folder; nil where no model was made.
    public var bundle: String?
    public var card: ModelCard?
    public var report: JSON
    public var usage: JobUsage
    public init(bundle: String? = nil, card: ModelCard? = nil, report: JSON = .null, usage: JobUsage) {
        self.bundle = bundle
        self.card = card
        self.report = report
        self.usage = usage
    }
}

/// A point of a fine-tuning job that is registered as a model of its own.
public struct TunedCheckpoint: Codable, Sendable, Equatable {
    /// Optimizer steps done.
    public var step: Int
    /// The bundle's folder, relative to the job's.
    public var bundle: String
    /// `train_loss`, `train_mean_token_accuracy`, `valid_loss`, `valid_mean_token_accuracy`, `full_valid_loss`, …
    public var metrics: [String: Double]
    public init(step: Int, bundle: String, metrics: [String: Double]) {
        self.step = step
        self.bundle = bundle
        self.metrics = metrics
    }
}

/// What a job used, for the ledger.
public struct JobUsage: Codable, Sendable, Equatable {
    public var cpuSeconds: Double
    public var rows: Int
    /// Of a fine-tuning job: tokens that went through training, all epochs counted.
    public var trainedTokens: Int?
    public init(cpuSeconds: Double, rows: Int, trainedTokens: Int? = nil) {
        self.cpuSeconds = cpuSeconds
        self.rows = rows
        self.trainedTokens = trainedTokens
    }
}
