import Foundation
import MartletNN
import MartletWire

extension ModelConfig {
    /// Reads `rope_scaling` with `rope_theta`, or the newer `rope_parameters` that holds both.
    /// - Parameters:
    ///   - headSize: of which `partial_rotary_factor` is turned.
    ///   - kind: the kind of layer, where the config has parameters for each.
    func rotary(headSize: Int, theta: Double = 10_000, kind: String? = nil) throws -> RotaryConfig {
        var part = try part("rope_parameters") ?? part("rope_scaling")
        if let kind, let own = try part?.part(kind) { part = own }
        let share = try part?.optionalNumber("partial_rotary_factor") ?? number("partial_rotary_factor", 1)
        guard share > 0, share <= 1 else { throw unsupported("'partial_rotary_factor': \(share)") }
        let context = try size("max_position_embeddings", 2048)
        var rotary = RotaryConfig(
            size: Int(Double(headSize) * share),
            theta: try part?.optionalNumber("rope_theta") ?? number("rope_theta", theta), contextLength: context)
        guard rotary.size > 0, rotary.size % 2 == 0, rotary.theta > 1 else {
            throw unsupported("rotary positions over \(rotary.size) dimensions at base \(rotary.theta)")
        }
        if let part { rotary.scaling = try scaling(part, rotary) }
        return rotary
    }

    private func scaling(_ part: ModelConfig, _ rotary: RotaryConfig) throws -> RotaryConfig.Scaling {
        let kind = try part.text("rope_type") ?? part.text("type") ?? "default"
        let original = {
            try part.size(
                "original_max_position_embeddings", size("original_max_position_embeddings", rotary.contextLength))
        }
        switch kind {
        case "default": return .none
        case "linear": return .linear(factor: try part.factor("factor"))
        case "dynamic":
            guard rotary.size > 2 else { throw unsupported("dynamic rotary positions over 2 dimensions") }
            return .dynamic(factor: try part.factor("factor"))
        case "llama3":
            let (low, high) = (try part.factor("low_freq_factor"), try part.factor("high_freq_factor"))
            guard high > low else { throw unsupported("'high_freq_factor' not above 'low_freq_factor'") }
            return .llama3(factor: try part.factor("factor"), low: low, high: high, original: try original())
        case "yarn":
            let original = try original()
            let factor = try part.factor("factor", Double(rotary.contextLength) / Double(original))
            return .yarn(
                factor: factor, fast: try part.factor("beta_fast", 32), slow: try part.factor("beta_slow", 1),
                original: original, attention: try part.yarnAttention(factor),
                truncates: try part.flag("truncate", true))
        case "longrope", "su":
            let original = try original()
            let factors = try ["short_factor", "long_factor"].map { try part.factors($0, count: rotary.size / 2) }
            let stretch =
                try (value("original_max_position_embeddings") == nil ? part.optionalNumber("factor") : nil)
                ?? Double(rotary.contextLength) / Double(original)
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
