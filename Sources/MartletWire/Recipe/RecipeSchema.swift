extension CaseIterable where Self: RawRepresentable, RawValue == String {
    static var words: Schema { .choice(allCases.map(\.rawValue)) }
}

/// The recipe's schema; the structs beside it hold the defaults.
enum RecipeSchema {
    private static let positive = Schema.integer(1...Int.max)
    private static let count = Schema.integer(0...Int.max)
    private static let nonNegative = Schema.number(0...Double.greatestFiniteMagnitude)
    private static let fraction = Schema.number(0...1)

    static let recipe = Schema.Section(
        "recipe", Recipe(),
        [
            .init("name", .string), .init("data", .section(data)), .init("inputs", .named(input)),
            .init("outputs", .named(output)), .init("combiner", .section(combiner)), .init("model", .section(model)),
            .init("base", .string), .init("adapter", .section(adapter)), .init("tuning", .section(tuning)),
            .init("training", .section(training)), .init("evaluation", .section(evaluation)),
            .init("deploy", .section(deploy)),
        ])

    static let data = Schema.Section(
        "data", DataConfig(),
        [
            .init("source", DataSchema.source), .init("csv", .section(csv)), .init("column", .string),
            .init("clean", .list(DataSchema.clean)),
            .init("split", .section(split)), .init("augment", .list(DataSchema.augment)),
        ])

    static let csv = Schema.Section(
        "csv", CSVConfig(),
        [
            .init("delimiter", .string), .init("decimal", .choice([".", ","])),
            .init("encoding", .choice(["utf-8", "gb18030", "utf-16", "latin1"])), .init("missing", .list(.string)),
            .init("header", .bool),
        ])

    static let split = Schema.Section(
        "split", SplitConfig(),
        [
            .init("train", fraction), .init("validation", fraction), .init("test", fraction), .init("seed", count),
            .init("stratify", .string), .init("by", .string), .init("order", SplitConfig.Order.words),
            .init("folds", .integer(2...100)),
        ])

    static let input = Schema.Section(
        "input", InputConfig(), shorthand: "type",
        [
            .init("type", InputConfig.Kind.words), .init("column", .string), .init("columns", .list(.string)),
            .init("encoder", .section(encoder)), .init("normalize", InputConfig.Normalization.words),
            .init("tokenizer", InputConfig.Tokenizer.words), .init("vocabulary_size", .integer(2...10_000_000)),
            .init("max_length", .integer(1...1_000_000)), .init("size", .list(.integer(1...16_384))),
            .init("channels", .integer(1...4)),
        ])

    static let output = Schema.Section(
        "output", OutputConfig(), shorthand: "type",
        [
            .init("type", OutputConfig.Kind.words), .init("column", .string), .init("columns", .list(.string)),
            .init("loss", .section(loss)), .init("activation", Activation.words),
            .init("normalize", InputConfig.Normalization.words), .init("weight", nonNegative),
        ])

    static let loss = Schema.Section(
        "loss", LossConfig(), shorthand: "type",
        [
            .init("type", LossConfig.Kind.words), .init("class_weights", LossConfig.ClassWeights.words),
            .init("label_smoothing", .number(0...0.999)),
            .init("delta", .number(Double.leastNormalMagnitude...Double.greatestFiniteMagnitude)),
        ])

    static let encoder = Schema.Section(
        "encoder", EncoderConfig(), shorthand: "type",
        [
            .init("type", EncoderConfig.Kind.words), .init("widths", .list(.integer(1...1_000_000))),
            .init("activation", Activation.words), .init("dropout", .number(0...0.999)), .init("bias", .bool),
            .init("channels", .list(.integer(1...65_536))), .init("kernel", .list(.integer(1...255))),
            .init("pool", .list(.integer(1...255))), .init("padding", .list(.integer(0...255))),
            .init("stride", .list(.integer(1...255))), .init("norm", EncoderConfig.Norm.words),
            .init("embedding_size", .integer(1...65_536)), .init("hidden", .integer(1...65_536)),
            .init("layers", .integer(1...1_000)), .init("bidirectional", .bool), .init("heads", .integer(1...1_024)),
            .init("reduce", EncoderConfig.Reduction.words),
        ])

    static let combiner = Schema.Section(
        "combiner", CombinerConfig(),
        [
            .init("type", CombinerConfig.Kind.words), .init("layers", .list(.integer(1...1_000_000))),
            .init("activation", Activation.words), .init("dropout", .number(0...0.999)), .init("bias", .bool),
        ])

    static let model = Schema.Section(
        "model", LanguageModelRecipe(),
        [
            .init("architecture", LanguageModelRecipe.Architecture.words), .init("layers", .integer(1...1_000)),
            .init("heads", .integer(1...1_024)), .init("key_value_heads", .integer(1...1_024)),
            .init("width", .integer(1...65_536)), .init("feedforward", .integer(1...1_000_000)),
            .init("context", .integer(2...1_000_000)), .init("dropout", .number(0...0.999)), .init("bias", .bool),
            .init("tokenizer", .section(tokenizer)),
        ])

    static let adapter = Schema.Section(
        "adapter", AdapterRecipe(), shorthand: "type",
        [
            .init("type", AdapterRecipe.Kind.words), .init("rank", .integer(1...4096)),
            .init("alpha", .number(Double.leastNormalMagnitude...1_000_000)), .init("dropout", .number(0...0.999)),
            .init("targets", .list(.string)), .init("base_precision", AdapterRecipe.BasePrecision.words),
        ])

    static let tuning = Schema.Section(
        "tuning", TuningConfig(), shorthand: "method",
        [
            .init("method", TuningConfig.Method.words),
            .init("learning_rate_multiplier", .number(Double.leastNormalMagnitude...1_000_000)),
            .init("beta", .number(Double.leastNormalMagnitude...1_000)), .init("grader", DataSchema.grader),
            .init("samples", .integer(2...1_024)), .init("max_tokens", positive),
        ])

    static let tokenizer = Schema.Section(
        "tokenizer", LanguageModelRecipe.TokenizerConfig(), shorthand: "type",
        [
            .init("type", LanguageModelRecipe.TokenizerConfig.Kind.words),
            .init("vocabulary_size", .integer(257...1_000_000)),
        ])

    static let training = Schema.Section(
        "training", TrainingConfig(),
        [
            .init("epochs", positive), .init("steps", positive), .init("batch_size", positive),
            .init("accumulate", positive), .init("optimizer", .section(optimizer)),
            .init("schedule", .section(schedule)), .init("regularization", .section(regularization)),
            .init("clip_norm", .number(Double.leastNormalMagnitude...Double.greatestFiniteMagnitude)),
            .init("early_stopping", .section(earlyStopping)), .init("checkpoint", .section(checkpoint)),
            .init("precision", TrainingConfig.Precision.words), .init("seed", count), .init("shuffle", .bool),
        ])

    static let optimizer = Schema.Section(
        "optimizer", OptimizerConfig(), shorthand: "type",
        [
            .init("type", OptimizerConfig.Kind.words), .init("learning_rate", nonNegative),
            .init("momentum", .number(0...1)), .init("form", OptimizerConfig.MomentumForm.words),
            .init("betas", .list(.number(0...1))), .init("alpha", fraction), .init("epsilon", nonNegative),
            .init("weight_decay", nonNegative), .init("decay", OptimizerConfig.Decay.words),
        ])

    static let schedule = Schema.Section(
        "schedule", ScheduleConfig(), shorthand: "type",
        [
            .init("type", ScheduleConfig.Kind.words), .init("warmup_steps", count), .init("every", positive),
            .init("gamma", nonNegative), .init("final_factor", nonNegative),
        ])

    static let regularization = Schema.Section(
        "regularization", RegularizationConfig(), [.init("l1", nonNegative), .init("l2", nonNegative)])

    static let earlyStopping = Schema.Section(
        "early_stopping", EarlyStoppingConfig(), [.init("metric", .string), .init("patience", positive)])

    static let checkpoint = Schema.Section(
        "checkpoint", CheckpointConfig(), [.init("every", DataSchema.interval), .init("keep", positive)])

    static let evaluation = Schema.Section(
        "evaluation", EvaluationConfig(),
        [
            .init("metrics", .list(.string)), .init("require", .map(DataSchema.requirement)),
            .init("sample", .section(sample)),
        ])

    static let sample = Schema.Section(
        "sample", SampleConfig(),
        [.init("prompt", .string), .init("tokens", .integer(0...10_000)), .init("temperature", .number(0...100))])

    static let deploy = Schema.Section(
        "deploy", DeployConfig(), shorthand: "as", [.init("as", .string), .init("replicas", .integer(1...64))])
}
