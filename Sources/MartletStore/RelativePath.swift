import Foundation
import MartletWire

/// Names of files inside a dataset or bundle, as they come from outside.
package enum RelativePath {
    /// Throws `invalidRequest` for a name that could lead out of its folder or stand for two files: an absolute one,
    /// `..`, an empty part, a backslash, a control character, percent-encoding of any of these, over 1,024 bytes.
    package static func check(_ path: String) throws {
        let shown = path.count > 80 ? path.prefix(80) + "…" : Substring(path)
        func refuse(_ why: String) -> MartletError {
            MartletError(
                .invalidRequest, "the file name '\(shown)' \(why); use a relative name such as 'data/train.csv'")
        }
        guard !path.isEmpty, path.utf8.count <= 1024 else { throw refuse("must have 1 to 1,024 bytes") }
        guard !path.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) else {
            throw MartletError(.invalidRequest, "a file name has a control character; rename the file")
        }
        guard !path.utf8.contains(UInt8(ascii: "\\")) else { throw refuse("has a backslash") }
        guard !path.hasPrefix("/"), !path.lowercased().hasPrefix("file:") else { throw refuse("is absolute") }
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            guard !part.isEmpty, part != ".", part != ".." else {
                throw refuse("has a part that is empty, '.' or '..'")
            }
            guard part.utf8.count <= 255 else { throw refuse("has a part of more than 255 bytes") }
        }
        if path.contains("%"), let decoded = path.removingPercentEncoding, decoded != path {
            try check(decoded)
        }
    }

    /// A whole folder's names: each by itself, no two that differ only in case or Unicode form, no file that is
    /// also a folder.
    package static func check(_ paths: [String]) throws {
        guard !paths.isEmpty else { throw MartletError(.invalidRequest, "there are no files; send at least one") }
        var seen: [String: String] = [:]
        var folders: Set<String> = []
        for path in paths {
            try check(path)
            let folded = path.precomposedStringWithCanonicalMapping.lowercased()
            if let other = seen.updateValue(path, forKey: folded) {
                throw MartletError(
                    .invalidRequest, "the file names '\(other)' and '\(path)' collide where case is ignored; rename one"
                )
            }
            var parts = folded.split(separator: "/")
            parts.removeLast()
            while !parts.isEmpty {
                folders.insert(parts.joined(separator: "/"))
                parts.removeLast()
            }
        }
        for folder in folders {
            if let file = seen[folder] {
                throw MartletError(.invalidRequest, "'\(file)' is both a file and a folder; rename one")
            }
        }
    }
}
