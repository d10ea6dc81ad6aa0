import MartletWire

/// Predictions in the form that the rows came in.
enum PredictText {
    static func of(_ answer: JSON, form: PredictInput.Form) -> String {
        let predictions = answer["predictions"]?.array ?? []
        switch form {
        case .json: return answer.serialized(pretty: true) + "\n"
        case .jsonLines: return predictions.map { $0.serialized() + "\n" }.joined()
        case .csv:
            let names = columns(predictions, isFlat: true)
            let lines = [names] + predictions.map { row in names.map { cell(row, $0) } }
            return lines.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
        case .table:
            let names = columns(predictions, isFlat: false)
            var table = Table(names)
            for row in predictions { table.add(names.map { cell(row, $0) }) }
            return table.text + "\n"
        }
    }

    /// What a prediction says; flat, the probabilities of the labels are columns of their own.
    private static func columns(_ predictions: [JSON], isFlat: Bool) -> [String] {
        var names: [String] = []
        for (key, value) in predictions.first?.object ?? [:] {
            guard isFlat, let inner = value.object else {
                names.append(key)
                continue
            }
            names += inner.keys.map { "\(key).\($0)" }
        }
        return names
    }

    private static func cell(_ row: JSON, _ name: String) -> String {
        if let value = row[name] { return text(value) }

        for (key, value) in row.object ?? [:] where name.hasPrefix(key + ".") {
            if let inner = value[String(name.dropFirst(key.count + 1))] { return text(inner) }
        }
        return ""
    }

    /// The most probable first where a value is a table of probabilities.
    private static func text(_ value: JSON) -> String {
        guard let object = value.object else { return Format.cell(value) }
        let pairs = object.map { ($0.key, $0.value.double ?? 0) }.sorted { $0.1 > $1.1 }
        return pairs.prefix(3).map { "\($0.0) \(Format.number($0.1))" }.joined(separator: " ")
    }

    private static func quoted(_ cell: String) -> String {
        guard cell.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return cell }
        return "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
