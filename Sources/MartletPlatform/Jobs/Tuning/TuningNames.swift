import MartletStore
import MartletWire

/// What a fine-tuning job's results are called.
///
/// The registry's name holds a version for each checkpoint and the final one; `ft:base:org:suffix:id` stands for the
/// final version, with `:ckpt-step-N` for a checkpoint's.
struct TuningNames: Sendable, Equatable {
    /// The base's own name, without a version.
    let base: String
    let suffix: String

    /// `reference` is a name, `name@version` or an `ft:` id.
    init(base reference: String, suffix: String?) {
        let parts = reference.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count > 1, parts[0] == "ft" {
            base = String(parts[1])
        } else {
            let name = String(reference.split(separator: "@").first ?? "model")
            base = name.hasPrefix("ft-") && name.count > 3 ? String(name.dropFirst(3)) : name
        }
        self.suffix = suffix.map { $0.isEmpty ? "" : FileName.slug($0, limit: 64) } ?? ""
    }

    /// `ft-base-suffix`: a name in the registry.
    var model: String {
        let whole = suffix.isEmpty ? "ft-\(base)" : "ft-\(base)-\(suffix)"
        return FileName.slug(whole, limit: 128)
    }

    /// `ft:base:org:suffix:id`.
    func alias(organization: String, jobID: String) -> String {
        let id = jobID.split(whereSeparator: { $0 == "-" || $0 == "_" }).last ?? Substring(jobID)
        return "ft:\(base):\(organization):\(suffix):\(id.prefix(12))"
    }

    static func checkpoint(_ alias: String, step: Int) -> String { "\(alias):ckpt-step-\(step)" }
}
