import Foundation
import MartletWire

/// The files of a model that are worth sending, and what is said about the others.
struct ModelFiles {
    var items: [Uploader.Item] = []
    var notes: [String] = []

    /// `path` is a folder in Hugging Face's form, or one file of weights. Throws `unsupportedFormat` where all weights
    /// are in a form that is not read.
    init(path: String) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw MartletError(.notFound, "there is no file or folder '\(path)'; check the path")
        }
        guard isFolder.boolValue else {
            try ModelFileFormat.check(path)
            items = [Uploader.Item(local: path, remote: (path as NSString).lastPathComponent)]
            return
        }
        let all = try Uploader.items([path])
        // Folders inside hold copies for other tools, but for the settings of poolings.
        items = all.filter { item in
            guard ModelFileFormat.isTaken(item.remote) else { return false }
            return !item.remote.contains("/") || item.remote.hasSuffix("_Pooling/config.json")
        }
        let pickled = all.filter { !$0.remote.contains("/") && ModelFileFormat.isPickled($0.remote) }
        guard items.contains(where: { ModelFileFormat.holdsWeights($0.remote) }) else {
            if let file = pickled.first { try ModelFileFormat.check(file.remote) }
            throw MartletError(
                .invalidData, "'\(path)' has no .safetensors or .gguf file; name the folder that holds the weights")
        }
        try chooseGGUF(path)
        let configs = ["config.json", "adapter_config.json"]
        guard items.contains(where: { configs.contains($0.remote) || $0.remote.lowercased().hasSuffix(".gguf") }) else {
            throw MartletError(
                .invalidData, "'\(path)' has no config.json; name the folder that holds it beside the weights")
        }
        for file in pickled { notes.append("left out \(file.remote): files that can hold code are never read") }
    }

    /// Of a folder without safetensors its one GGUF file is all that is sent; which of several is not guessed.
    private mutating func chooseGGUF(_ path: String) throws {
        let files = items.filter { $0.remote.lowercased().hasSuffix(".gguf") }
        guard !files.isEmpty, files.count == items.count(where: { ModelFileFormat.holdsWeights($0.remote) }) else {
            return
        }
        guard files.count == 1 else {
            throw MartletError(
                .invalidData,
                "'\(path)' has \(files.count) GGUF files; name the one to import: "
                    + files.prefix(4).map(\.remote).joined(separator: ", "))
        }
        items = files
    }
}
