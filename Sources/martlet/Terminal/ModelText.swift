import MartletWire

/// Models as text: lists, lineage, comparisons.
enum ModelText {
    static func list(_ page: Page<ModelInfo>) -> String {
        var table = Table(["NAME", ">VERSION", ">PARAMETERS", ">SIZE", "MADE", "METRICS", "BASE", "ID"])
        for item in page.data {
            table.add([
                item.name, String(item.version), Format.count(item.card.parameterCount), Format.bytes(item.byteCount),
                Format.time(item.createdAt), headline(item.card), base(item),
                (item.aliases ?? []).joined(separator: " "),
            ])
        }
        return table.isEmpty
            ? "no models; train one with: martlet train RECIPE, or bring one with: martlet models import FOLDER --name NAME"
            : table.text
    }

    /// What a model was tuned from: an adapter's base, or the recipe's.
    private static func base(_ item: ModelInfo) -> String {
        item.signature.language?.base?.reference ?? item.card.recipe["base"]?.string ?? ""
    }

    /// The metrics that matter most, of the split that says most.
    private static func headline(_ card: ModelCard) -> String {
        guard let metrics = card.metrics["test"] ?? card.metrics["validation"] else { return "" }
        let order = ["accuracy", "f1_macro", "rmse", "r2", "perplexity", "loss"]
        return order.compactMap { name in metrics[name].map { "\(name) \(Format.number($0))" } }.prefix(2)
            .joined(separator: ", ")
    }

    /// What a language model is, for the end of an import.
    static func summary(_ item: ModelInfo) -> String {
        var table = Table(["", ""])
        table.add(["model", "\(item.name)@\(item.version)"])
        addLanguage(item, to: &table)
        table.add(["size", Format.bytes(item.byteCount)])
        return table.text
    }

    private static func addLanguage(_ item: ModelInfo, to table: inout Table) {
        guard let language = item.signature.language else { return }
        table.add(["architecture", language.architecture])
        table.add(["parameters", Format.count(language.parameterCount)])
        if let source = language.sourceLength {
            table.add(["source", "up to \(Format.count(source, "token"))"])
            table.add(["answer", "up to \(Format.count(language.contextLength, "token"))"])
        } else {
            table.add(["context", Format.count(language.contextLength, "token")])
        }
        table.add(["vocabulary", Format.count(language.vocabularyCount, "token")])
        table.add(["stored as", language.storedPrecision])
        table.add(["served as", served(item.serving ?? [:])])
        for (format, gap) in (item.card.parity ?? [:]).sorted(by: { $0.key < $1.key }) {
            table.add(["held to training", "logits at most \(String(format: "%.2g", gap)) apart in \(format)"])
        }
        table.add(["chat template", language.hasChatTemplate ? "yes" : "no"])
    }

    /// `float16, logits at most 0.0013 off; context 64`.
    private static func served(_ facts: [String: String]) -> String {
        guard let precision = facts["precision"] else { return "chosen when it is loaded" }
        let errors = ["logit_error": "logits", "vector_error": "vectors", "score_error": "scores"]
        let (known, others) = (facts.keys.sorted().filter { errors[$0] != nil }, facts.keys.sorted())
        let off = known.map { ", \(errors[$0] ?? $0) at most \(facts[$0] ?? "") off" }.joined()
        let rest = others.filter { errors[$0] == nil && $0 != "precision" }.map { "; \($0) \(facts[$0] ?? "")" }
        return precision + off + rest.joined()
    }

    static func whole(_ item: ModelInfo) -> String {
        let card = item.card
        var table = Table(["", ""])
        table.add(["model", "\(item.name)@\(item.version)"])
        for alias in item.aliases ?? [] { table.add(["id", alias]) }
        if !base(item).isEmpty { table.add(["base", base(item)]) }
        table.add(["made", Format.time(item.createdAt)])
        table.add(["hash", item.contentHash])
        if item.signature.isLanguage {
            addLanguage(item, to: &table)
        } else {
            table.add(["parameters", Format.count(card.parameterCount)])
        }
        if card.stepsTrained > 0 {
            table.add(["trained", "\(Format.count(card.stepsTrained)) steps, \(Format.seconds(card.secondsTrained))"])
        }
        for unmet in card.unmetRequirements { table.add(["not met", unmet]) }
        var environment = card.environment
        for finding in environment.removeValue(forKey: "import")?.split(separator: "\n") ?? [] {
            table.add(["import", String(finding)])
        }
        var parts = [table.text, lineage(item)]
        let metrics = JobText.metrics(card.metrics, card.confusion)
        if !metrics.isEmpty { parts.append(metrics) }
        var columns = Table(["", "COLUMN", "TYPE", "CATEGORIES"])
        for column in item.signature.inputColumns { columns.add(row("in", column)) }
        for column in item.signature.outputColumns { columns.add(row("out", column)) }
        if !columns.isEmpty { parts.append(columns.text) }
        var files = Table(["FILE", ">SIZE", "HASH"])
        for file in item.files {
            files.add([file.path, Format.bytes(file.byteCount), Format.short(hash: file.hash)])
        }
        parts.append(files.text)
        if !environment.isEmpty {
            parts.append(environment.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        }
        return parts.joined(separator: "\n\n")
    }

    /// data → recipe → job → model.
    private static func lineage(_ item: ModelInfo) -> String {
        var table = Table(["LINEAGE", "", ""])
        for (name, hash) in item.card.data.sorted(by: { $0.key < $1.key }) { table.add(["data", name, hash]) }
        if !item.card.recipe.isNull {
            table.add(["recipe", item.card.recipe["name"]?.string ?? "", item.card.recipeHash])
        }
        table.add(["job", item.jobID ?? item.card.jobID, ""])
        table.add(["model", "\(item.name)@\(item.version)", item.contentHash])
        return table.text
    }

    private static func row(_ way: String, _ column: Signature.Column) -> [String] {
        let categories = column.categories ?? []
        let more = categories.count > 12 ? ", … (\(categories.count))" : ""
        return [way, column.name, column.type, categories.prefix(12).joined(separator: ", ") + more]
    }

    static func comparison(_ pair: [ModelInfo]) -> String {
        let names = pair.map { "\($0.name)@\($0.version)" }
        var table = Table(["METRIC"] + names.map { ">" + $0 } + [">DIFFERENCE"])
        table.add(["parameters"] + pair.map { Format.count($0.card.parameterCount) } + [""])
        table.add(["size"] + pair.map { Format.bytes($0.byteCount) } + [""])
        let keys = Set(
            pair.flatMap { card in card.card.metrics.flatMap { split in split.value.keys.map { [split.key, $0] } } })
        for key in keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let values = pair.map { $0.card.metrics[key[0]]?[key[1]] }
            var difference = ""
            if let first = values.first ?? nil, let last = values.last ?? nil {
                difference = (last >= first ? "+" : "") + Format.number(last - first)
            }
            table.add([key.joined(separator: ".")] + values.map { $0.map(Format.number) ?? "" } + [difference])
        }
        return table.text
    }
}
