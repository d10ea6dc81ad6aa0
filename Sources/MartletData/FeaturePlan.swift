import MartletWire

/// The features that a recipe asks for, before anything is learnt.
struct FeaturePlan {
    private struct Item {
        var feature: FittedFeature
        var vocabularySize: Int
        var fixedSize: Bool
    }

    private var items: [Item] = []

    init(_ recipe: Recipe, table: Table) throws {
        for input in recipe.inputs { items.append(try Self.item(input, table)) }
        let sequence = items.first { $0.feature.kind == .sequence || $0.feature.kind == .text }?.feature
        for output in recipe.outputs { items.append(try Self.item(output, table, sequence)) }
        for item in items {
            for column in item.feature.columns {
                _ = try table.place(
                    of: column, for: "\(item.feature.role == .input ? "inputs" : "outputs").\(item.feature.name)")
            }
        }
    }

    private static func item(_ input: InputConfig, _ table: Table) throws -> Item {
        let kind: FittedFeature.Kind
        switch input.type {
        case .number: kind = .number
        case .category: kind = .category
        case .boolean: kind = .boolean
        case .text: kind = .text
        case .image: kind = .image
        case .sequence: kind = .sequence
        case .vector: kind = .vector
        case .datetime: kind = .datetime
        case .audio:
            throw MartletError(
                .invalidRecipe, "inputs.\(input.name) is audio, which is not read yet; give features of it as a vector",
                param: "inputs.\(input.name).type")
        }
        let columns = try ColumnRange.expand(
            input.columns.isEmpty ? [input.column ?? input.name] : input.columns, among: table.columns)
        var feature = FittedFeature(name: input.name, role: .input, kind: kind, columns: columns)
        switch kind {
        case .number, .vector, .datetime: feature.normalization = input.normalize ?? .zscore
        case .image:
            feature.normalization = input.normalize ?? .minmax
            if let size = input.size {
                guard size.count == 2, size.allSatisfy({ (1...ImageCodec.maxSide).contains($0) }),
                    size[0] * size[1] <= ImageCodec.maxPixels
                else {
                    throw MartletError(
                        .invalidRecipe, "inputs.\(input.name).size is \(size); give [height, width] of 1 to 16,384",
                        param: "inputs.\(input.name).size")
                }
                (feature.height, feature.width) = (size[0], size[1])
            }
            if let channels = input.channels {
                guard channels == 1 || channels == 3 else {
                    throw MartletError(
                        .invalidRecipe, "inputs.\(input.name).channels is \(channels); give 1 (grey) or 3 (colour)",
                        param: "inputs.\(input.name).channels")
                }
                feature.channels = channels
            }
        case .text, .sequence:
            feature.tokenizer = input.tokenizer ?? (kind == .text ? .word : .space)
            guard (1...1_000_000).contains(input.maxLength) else {
                throw MartletError(
                    .invalidRecipe, "inputs.\(input.name).max_length is \(input.maxLength); give 1 to 1,000,000",
                    param: "inputs.\(input.name).max_length")
            }
            feature.length = input.maxLength
        case .category, .boolean: break
        }
        return Item(
            feature: feature, vocabularySize: input.vocabularySize,
            fixedSize: input.size != nil && input.channels != nil)
    }

    private static func item(_ output: OutputConfig, _ table: Table, _ sequence: FittedFeature?) throws -> Item {
        let kind: FittedFeature.Kind
        switch output.type {
        case .number: kind = .number
        case .category: kind = .category
        case .boolean: kind = .boolean
        case .vector: kind = .vector
        case .sequence: kind = .sequence
        case .text:
            throw MartletError(
                .invalidRecipe, "outputs.\(output.name) is text, which is not trained yet; use category or sequence",
                param: "outputs.\(output.name).type")
        }
        let columns = try ColumnRange.expand(
            output.columns.isEmpty ? [output.column ?? output.name] : output.columns, among: table.columns)
        var feature = FittedFeature(name: output.name, role: .target, kind: kind, columns: columns)
        switch kind {
        case .number, .vector:
            feature.normalization = output.normalize ?? (output.activation == .none ? .zscore : .none)
        case .sequence:
            guard let sequence else {
                throw MartletError(
                    .invalidRecipe, "outputs.\(output.name) is a sequence and needs a sequence among the inputs",
                    param: "outputs.\(output.name).type")
            }
            feature.tokenizer = .space
            feature.length = sequence.length
        default: break
        }
        return Item(feature: feature, vocabularySize: .max, fixedSize: false)
    }

    func fitters(_ table: Table) throws -> [FeatureFitter] {
        try items.map { item in
            try FeatureFitter(item.feature, vocabularySize: item.vocabularySize, fixedSize: item.fixedSize) {
                try table.place(of: $0, for: item.feature.name)
            }
        }
    }

    /// Remarks on what was learnt that a person should see.
    func warn(_ features: [FittedFeature], _ report: inout DataReport) {
        for feature in features {
            let column = feature.columns[0]
            if feature.kind == .category, feature.role == .target, feature.categories.count < 2 {
                report.warnings.append("column '\(column)' has one label only; the model can learn nothing from it")
            }
            if feature.kind == .category, feature.role == .input,
                let missing = report.columns.first(where: { $0.name == column })?.missing, missing > 0
            {
                report.warnings.append(
                    "column '\(column)' has \(missing) rows without a value before cleaning; what is left of them counts "
                        + "as unknown")
            }
            if [.number, .vector].contains(feature.kind), feature.normalization == .zscore {
                for (index, scale) in feature.scale.enumerated() where scale == 1 && feature.role == .input {
                    let name = feature.columns.count > index ? feature.columns[index] : column
                    if let found = report.columns.first(where: { $0.name == name }), found.min == found.max {
                        report.warnings.append(
                            "column '\(name)' is the same in every row; the model can learn nothing from it")
                    }
                }
            }
        }
    }
}

/// Column names with ranges: `x{0..9}` is `x0` to `x9`.
package enum ColumnRange {
    package static func expand(_ names: [String], among columns: [String]) throws -> [String] {
        var out: [String] = []
        for name in names {
            guard let open = name.firstIndex(of: "{"), let close = name[open...].firstIndex(of: "}"),
                !columns.contains(name)
            else {
                out.append(name)
                continue
            }
            let ends = name[name.index(after: open)..<close].split(separator: ".").compactMap { Int($0) }
            guard ends.count == 2, ends[0] >= 0, ends[1] >= ends[0], ends[1] - ends[0] < TextLimits.columns else {
                throw MartletError(
                    .invalidRecipe, "the range in '\(name)' cannot be; write it as x{0..9}", param: name)
            }
            for number in ends[0]...ends[1] {
                out.append(name[..<open] + String(number) + name[name.index(after: close)...])
            }
        }
        return out
    }
}
