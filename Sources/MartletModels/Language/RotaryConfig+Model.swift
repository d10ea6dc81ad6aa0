import Foundation
import MartletNN
import MartletWire

/// What an architecture says of its rotary positions where a config says nothing.
struct RotaryDefaults {
    var theta: Double = 10_000
    /// Where a config has the base, unless it stands with the rest.
    var thetaKey: String = "rope_theta"
    /// The length of texts.
    var context: Int = 2048
    /// The length before it was stretched, where the class has one of its own. That one goes before the one that stands
    /// with the rest.
    var original: Int?
    /// The kind of layer, where a config has parameters for each.
    var layers: Layers?

    enum Layers: String { case full = "full_attention", sliding = "sliding_attention" }
}

extension ModelConfig {
    /// Reads `rope_scaling` with `rope_theta`, or the newer `rope_parameters` that holds both.
    /// - Parameter headSize: of which `partial_rotary_factor` is turned.
    func rotary(headSize: Int, _ defaults: RotaryDefaults) throws -> RotaryConfig {
        let part = try rotaryPart(defaults.layers)
        let share = try part?.optionalNumber("partial_rotary_factor") ?? number("partial_rotary_factor", 1)
        guard share > 0, share <= 1 else { throw unsupported("'partial_rotary_factor': \(share)") }
        let context = try size("max_position_embeddings", defaults.context)
        var rotary = RotaryConfig(
            size: Int(Double(headSize) * share),
            theta: try part?.optionalNumber("rope_theta") ?? number(defaults.thetaKey, defaults.theta),
            contextLength: context)
        guard rotary.size > 0, rotary.size % 2 == 0, rotary.theta > 1 else {
            throw unsupported("rotary positions over \(rotary.size) dimensions at base \(rotary.theta)")
        }
        if let part { rotary.scaling = try scaling(part, rotary, original: original(part, rotary, defaults)) }
        return rotary
    }

    /// The older form goes before the newer one where a config has both, and changes it where there is one for each kind
    /// of layer: as in transformers.
    private func rotaryPart(_ layers: RotaryDefaults.Layers?) throws -> ModelConfig? {
        let (older, newer) = (try part("rope_scaling"), try part("rope_parameters"))
        let changes = older?.json.object ?? [:]
        let own = try layers.flatMap { try newer?.part($0.rawValue) }
        if layers == .sliding { return own }
        guard let own, var object = own.json.object else { return changes.count > 0 ? older : newer }
        for (key, value) in changes { object[key] = value }
        return try ModelConfig(.object(object))
    }

    /// The length before it was stretched.
    private func original(
        _ part: ModelConfig, _ rotary: RotaryConfig, _ defaults: RotaryDefaults
    ) throws -> Int {
        let key = "original_max_position_embeddings"
        if defaults.layers == nil, value(key) != nil || defaults.original != nil {
            return try size(key, defaults.original)
        }
        return try part.size(key, rotary.contextLength)
    }

    private func scaling(
        _ part: ModelConfig, _ rotary: RotaryConfig, original: Int
    ) throws -> RotaryConfig.Scaling {
        let kind = try part.text("rope_type") ?? part.text("type") ?? "default"
        // An old name of longrope.
        let isLong = kind == "yarn" && part.value("long_factor") != nil
        switch isLong ? "longrope" : kind {
        case "default": return .none
        case "linear": return .linear(factor: try part.factor("factor"))
        case "dynamic":
            guard rotary.size > 2 else { throw unsupported("dynamic rotary positions over 2 dimensions") }
            return .dynamic(factor: try part.factor("factor"))
        case "llama3":
            let (low, high) = (try part.factor("low_freq_factor"), try part.factor("high_freq_factor"))
            guard high > low else { throw unsupported("'high_freq_factor' not above 'low_freq_factor'") }
            return .llama3(factor: try part.factor("factor"), low: low, high: high, original: original)
        case "yarn":
            let factor = try part.factor("factor", Double(rotary.contextLength) / Double(original))
            return .yarn(
                factor: factor, fast: try part.factor("beta_fast", 32), slow: try part.factor("beta_slow", 1),
                original: original, attention: try part.yarnAttention(factor),
                truncates: try part.flag("truncate", true))
        case "longrope", "su":
            let factors = try ["short_factor", "long_factor"].map { try part.factors($0, count: rotary.size / 2) }
            let stretch =
                try part.optionalNumber("factor") ?? Double(rotary.contextLength) / Double(original)
            let usual =
                stretch <= 1 || original < 2 ? 1 : (1 + log(stretch) / log(Double(original))).squareRoot()
            return .longrope(
                short: factors[0], long: factors[1], original: original,
                attention: try part.optionalNumber("attention_factor") ?? usual)
        default: throw unsupported("the rotary kind \"\(kind)\"")
        }
    }

    private func optionalNumber(_ key: String) throws -> Double? {
        value(key) == nil ? nil : try number(key)
    }

    /// A number above 0.
    private func factor(_ key: String, _ fallback: Double? = nil) throws -> Double {
        let value = try number(key, fallback)
        guard value > 0 else { throw MartletError(.invalidData, "'\(key)' of config.json is \(value), not above 0") }
        return value
    }

    private func factors(_ key: String, count: Int) throws -> [Double] {
        let factors = json[key]?.array?.compactMap(\.double) ?? []
        guard factors.count == count, factors.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw MartletError(
                .invalidData, "'\(key)' of config.json has \(factors.count) numbers above 0; it takes \(count)")
        }
        return factors
    }

    private func yarnAttention(_ factor: Double) throws -> Double {
        if let given = try optionalNumber("attention_factor") { return given }
        let scale = { (weight: Double) in factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1 }
        if let first = try optionalNumber("mscale"), let second = try optionalNumber("mscale_all_dim"), first != 0,
            second != 0
        {
            return scale(first) / scale(second)
        }
        return scale(1)
    }
}
