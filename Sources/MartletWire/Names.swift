import Foundation

/// The names of models, datasets, deployments and projects: 1–128 Unicode letters, digits, `-`, `_`, `.`, in NFC.
public enum Name {
    /// `text` in NFC where it is a name. Throws `invalidRequest` that says what is wrong with it.
    public static func check(_ text: String, what: String) throws -> String {
        let name = text.precomposedStringWithCanonicalMapping
        let shown = name.count > 60 ? name.prefix(60) + "…" : Substring(name)
        guard (1...128).contains(name.unicodeScalars.count) else {
            throw MartletError(.invalidRequest, "the \(what)'s name has \(name.count) characters; use 1 to 128")
        }
        guard name.unicodeScalars.allSatisfy(isAllowed), name != ".", name != ".." else {
            throw MartletError(
                .invalidRequest,
                "'\(shown)' cannot name a \(what); use letters, digits, '-', '_' and '.'")
        }
        return name
    }

    private static func isAllowed(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == "-" || scalar == "_" || scalar == "." { return true }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber,
            .nonspacingMark, .spacingMark:
            return true
        default: return false
        }
    }

    /// `name` or `name@version`. Throws `invalidRequest`.
    public static func parseReference(_ text: String, what: String) throws -> (name: String, version: Int?) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let name = try check(String(parts[0]), what: what)
        guard parts.count == 2 else { return (name, nil) }
        // A version has one spelling: `+1` and `01` are none.
        guard let version = Int(parts[1]), version > 0, String(version) == parts[1] else {
            throw MartletError(
                .invalidRequest, "'\(parts[1].prefix(20))' is not a version of \(name); use a number from 1")
        }
        return (name, version)
    }
}
