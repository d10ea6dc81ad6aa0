import Foundation

/// Which files of other tools' models are taken, by name. What Python's pickle reads can run code, and is refused
/// before a byte of it is stored: there is no unpickler here.
public enum ModelFileFormat {
    static let taken: Set<String> = ["safetensors", "gguf", "json", "jinja", "model", "txt"]
    static let pickled: Set<String> = [
        "bin", "pt", "pth", "pkl", "pickle", "ckpt", "npy", "npz", "joblib", "dill", "mar",
    ]

    /// Throws `unsupportedFormat`.
    public static func check(_ path: String) throws {
        let ending = ending(of: path)
        if taken.contains(ending) { return }
        let shown = (path as NSString).lastPathComponent.prefix(100)
        guard !pickled.contains(ending) else {
            throw MartletError(
                .unsupportedFormat,
                "'\(shown)': .\(ending) files can hold code and are never read here; convert the model to safetensors "
                    + "(save_pretrained(..., safe_serialization=True)) and import that", param: "file")
        }
        throw MartletError(
            .unsupportedFormat,
            "'\(shown)' is not a file of a model that can be imported; taken are .safetensors, .gguf, .json, .jinja, "
                + ".model and .txt", param: "file")
    }

    public static func isPickled(_ path: String) -> Bool { pickled.contains(ending(of: path)) }

    public static func isTaken(_ path: String) -> Bool { taken.contains(ending(of: path)) }

    public static func holdsWeights(_ path: String) -> Bool {
        ["safetensors", "gguf"].contains(ending(of: path))
    }

    private static func ending(of path: String) -> String { (path as NSString).pathExtension.lowercased() }
}
