/// What fits the schema and still cannot be meant.
enum RecipeChecks {
    typealias Finding = (path: String, message: String)

    static func findings(_ recipe: Recipe) -> [Finding] {
        var findings: [Finding] = []
        do { _ = try Name.check(recipe.name, what: "model") } catch {
            findings.append(("name", (error as? MartletError)?.message ?? "not a name"))
        }
        findings += checkTuning(recipe)
        if let model = recipe.model {
            findings += model.findings + checkAbsent(recipe)
        } else if recipe.base != nil {
            findings += checkAbsent(recipe)
        } else {
            if recipe.inputs.isEmpty {
                findings.append(("inputs", "no inputs; name the columns that the model sees"))
            }
            if recipe.outputs.isEmpty {
                findings.append(("outputs", "no outputs; name the columns that the model predicts"))
            }
        }
        let source = recipe.data.source
        if source.all.isEmpty && source.train.isEmpty {
            findings.append(("data.source", "no data; name a dataset or a path"))
        }
        findings += recipe.inputs.flatMap(check)
        findings += recipe.outputs.flatMap { check($0, recipe) }
        findings += check(recipe.data.split)
        findings += check(recipe.training)
        let inputNames = Set(recipe.inputs.map(\.name))
        for output in recipe.outputs where inputNames.contains(output.name) {
            findings.append(
                ("outputs.\(output.name)", "'\(output.name)' is an input too; a model must not see its answer"))
        }
        return findings
    }

    private static func checkTuning(_ recipe: Recipe) -> [Finding] {
        guard recipe.base != nil else {
            let why = "only a model that is trained further has it; name the model in base, or leave this out"
            return (recipe.adapter == nil ? [] : [("adapter", why)]) + (recipe.tuning == nil ? [] : [("tuning", why)])
        }
        var findings: [Finding] = []
        if recipe.model != nil {
            findings.append(("model", "the base has its architecture already; leave this or base out"))
        }
        let tuning = recipe.tuning ?? TuningConfig()
        if tuning.method != .dpo, tuning.beta != nil {
            findings.append(("tuning.beta", "only method dpo has it; leave it out"))
        }
        if tuning.method == .reinforcement {
            if tuning.grader == nil { findings.append(("tuning.grader", "reinforcement needs a grader; add one")) }
        } else {
            for (name, isThere) in [
                ("grader", tuning.grader != nil), ("samples", tuning.samples != nil),
                ("max_tokens", tuning.maxTokens != nil),
            ] where isThere {
                findings.append(("tuning.\(name)", "only method reinforcement has it; leave it out"))
            }
        }
        return findings
    }

    /// What has no meaning beside a whole architecture.
    private static func checkAbsent(_ recipe: Recipe) -> [Finding] {
        var findings: [Finding] = []
        let why = "a model with an architecture reads texts and predicts the next token; leave this out"
        if !recipe.inputs.isEmpty { findings.append(("inputs", why)) }
        if !recipe.outputs.isEmpty { findings.append(("outputs", why)) }
        if recipe.combiner != CombinerConfig() { findings.append(("combiner", why)) }
        if !recipe.data.clean.isEmpty { findings.append(("data.clean", why)) }
        if !recipe.data.augment.isEmpty { findings.append(("data.augment", why)) }
        if recipe.data.split.folds != nil { findings.append(("data.split.folds", why)) }
        if recipe.data.split.stratify != nil { findings.append(("data.split.stratify", why)) }
        if recipe.data.split.by != nil { findings.append(("data.split.by", why)) }
        return findings
    }

    private static func check(_ input: InputConfig) -> [Finding] {
        let path = "inputs.\(input.name)"
        var findings: [Finding] = []
        if input.type == .audio {
            findings.append((path + ".type", "audio inputs are not built yet; use a vector of features"))
        }
        if let size = input.size, size.count != 2 {
            findings.append((path + ".size", "give [height, width]"))
        }
        guard let encoder = input.encoder else { return findings }
        let fits: [EncoderConfig.Kind] =
            switch input.type {
            case .number, .boolean, .datetime: [.passthrough, .dense]
            case .category: [.passthrough, .dense, .embedding]
            case .vector: [.passthrough, .dense]
            case .image: [.passthrough, .dense, .cnn]
            case .text, .sequence: [.embedding, .cnn, .rnn, .lstm, .gru, .transformer]
            case .audio: EncoderConfig.Kind.allCases
            }
        if !fits.contains(encoder.type) {
            findings.append(
                (
                    path + ".encoder.type",
                    "a \(input.type.rawValue) input cannot have a \(encoder.type.rawValue) encoder; "
                        + "use one of \(fits.map(\.rawValue).joined(separator: ", "))"
                ))
        }
        if encoder.type == .cnn {
            let lists = [
                ("kernel", encoder.kernel), ("pool", encoder.pool), ("padding", encoder.padding),
                ("stride", encoder.stride),
            ]
            for (name, list) in lists where list.count != 1 && list.count != encoder.channels.count {
                findings.append(
                    (
                        "\(path).encoder.\(name)",
                        "give one number, or one for each of the \(encoder.channels.count) channels"
                    ))
            }
            if encoder.channels.isEmpty {
                findings.append((path + ".encoder.channels", "give at least one convolution"))
            }
        }
        if encoder.type == .transformer, encoder.embeddingSize % encoder.heads != 0 {
            findings.append(
                (
                    path + ".encoder.heads",
                    "\(encoder.heads) heads do not divide embedding_size \(encoder.embeddingSize)"
                ))
        }
        return findings
    }

    private static func check(_ output: OutputConfig, _ recipe: Recipe) -> [Finding] {
        let path = "outputs.\(output.name)"
        var findings: [Finding] = []
        let fits: [LossConfig.Kind] =
            switch output.type {
            case .category, .sequence: [.crossEntropy]
            case .boolean: [.binaryCrossEntropy]
            case .number, .vector: [.mse, .mae, .huber]
            case .text: []
            }
        if output.type == .text {
            findings.append((path + ".type", "text outputs are not built yet; use category or sequence"))
        } else if let loss = output.loss, !fits.contains(loss.type) {
            findings.append(
                (
                    path + ".loss.type",
                    "a \(output.type.rawValue) output cannot have the loss \(loss.type.rawValue); "
                        + "use one of \(fits.map(\.rawValue).joined(separator: ", "))"
                ))
        }
        if output.activation != .none, output.type != .number, output.type != .vector {
            findings.append((path + ".activation", "only number and vector outputs have an activation"))
        }
        if output.type == .sequence {
            let carriers = recipe.inputs.filter { $0.encoder?.reduce == EncoderConfig.Reduction.none }
            if carriers.count != 1 || recipe.inputs.count != 1 || recipe.outputs.count != 1 {
                findings.append(
                    (path, "a sequence output needs exactly one input, a sequence whose encoder has reduce: none"))
            }
        }
        return findings
    }

    private static func check(_ split: SplitConfig) -> [Finding] {
        let sum = split.train + split.validation + split.test
        if split.train <= 0 {
            return [("data.split.train", "\(split.train) leaves nothing to train on; give a share above 0")]
        }
        if abs(sum - 1) > 1e-6 {
            return [("data.split", "train, validation and test add up to \(sum); make them add up to 1")]
        }
        return []
    }

    private static func check(_ training: TrainingConfig) -> [Finding] {
        var findings: [Finding] = []
        if training.optimizer.betas.count != 2 {
            findings.append(("training.optimizer.betas", "give two numbers, such as [0.9, 0.999]"))
        }
        let isMomentumKind = [.momentum, .nesterov, .sgd, .rmsprop].contains(training.optimizer.type)
        if training.optimizer.momentum != nil, !isMomentumKind {
            findings.append(
                (
                    "training.optimizer.momentum",
                    "\(training.optimizer.type.rawValue) has no momentum; use momentum or sgd"
                ))
        }
        if let stopping = training.earlyStopping, !stopping.metric.hasPrefix("validation.") {
            findings.append(("training.early_stopping.metric", "watch a validation metric, such as validation.loss"))
        }
        return findings
    }
}
