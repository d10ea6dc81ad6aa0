import MartletWire

/// A plan as text: layers with shapes and parameter counts, then totals.
enum PlanText {
    static func of(_ plan: JSON) -> String {
        var parts: [String] = []
        if let layers = plan["layers"]?.array {
            var table = Table(["LAYER", "TYPE", "OUTPUT", ">PARAMETERS"])
            for layer in layers {
                table.add([
                    Format.cell(layer["name"]), Format.cell(layer["type"] ?? layer["kind"]),
                    shape(layer["output"] ?? layer["shape"] ?? layer["output_shape"]),
                    (layer["parameters"]?.int).map(Format.count) ?? "",
                ])
            }
            parts.append(table.text)
        }
        var facts = Table(["", ""])
        for (key, value) in plan.object ?? [:] where key != "layers" {
            switch value {
            case .object(let object):
                for (inner, value) in object { facts.add(["\(key).\(inner)", leaf(inner, value)]) }
            case .array(let values): facts.add([key, values.map { leaf(key, $0) }.joined(separator: ", ")])
            default: facts.add([key, leaf(key, value)])
            }
        }
        if !facts.isEmpty { parts.append(facts.text) }
        return parts.joined(separator: "\n\n")
    }

    private static func leaf(_ key: String, _ value: JSON) -> String {
        if key.contains("bytes"), let count = value.int { return Format.bytes(count) }
        if key.contains("seconds"), let seconds = value.double { return Format.seconds(seconds) }
        if let count = value.int { return Format.count(count) }
        return Format.cell(value)
    }

    private static func shape(_ value: JSON?) -> String {
        guard let sizes = value?.array else { return Format.cell(value) }
        return sizes.map { $0.int == -1 ? "batch" : Format.cell($0) }.joined(separator: " × ")
    }
}
