import Foundation
import MartletWire

/// Turns what a recipe or a command names as data into datasets: a path that exists is added, else it is a name.
struct DataResolver {
    let client: Client
    let output: Output
    /// Where relative paths are looked for, in this order.
    let folders: [String]

    /// The path that `reference` names here, where there is one.
    static func path(_ reference: String, in folders: [String]) -> String? {
        let candidates = reference.hasPrefix("/") ? [reference] : folders.map { $0 + "/" + reference }
        return candidates.first { FileManager.default.fileExists(atPath: $0) }
    }

    /// `name@version` of the dataset that holds the path's content, or `reference` itself.
    func resolve(_ reference: String) async throws -> String {
        guard let path = Self.path(reference, in: folders) else {
            guard !reference.contains("/") else {
                throw MartletError(
                    .notFound, "there is no file or folder '\(reference)'; mend the path or name a dataset")
            }
            return reference
        }
        let name = Self.name(of: path)
        output.note("adding \(path) as dataset \(name)")
        let info = try await Uploader(client: client, output: output).add(name: name, paths: [path])
        return "\(info.name)@\(info.version)"
    }

    /// A dataset's name from a path: the last part without its endings, with what a name may not hold made `-`.
    static func name(of path: String) -> String {
        var last = URL(fileURLWithPath: path).standardizedFileURL.lastPathComponent
        for ending in [".gz", ".csv", ".tsv", ".jsonl", ".json", ".txt"] where last.lowercased().hasSuffix(ending) {
            last = String(last.dropLast(ending.count))
        }
        let mapped = String(
            last.precomposedStringWithCanonicalMapping.map {
                (try? Name.check(String($0), what: "dataset")) != nil || $0 == "." ? $0 : "-"
            })
        return (try? Name.check(mapped, what: "dataset")) ?? "data"
    }
}
