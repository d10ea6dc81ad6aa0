import Foundation
import MartletNN
import MartletTensor
import MartletWire

/// Writes folders that `transformers` loads.
public enum ModelExport {
    /// Copies a bundle's files, without those that only Martlet reads, to a folder that is made; weights keep their
    /// type. An adapter's folder is what PEFT reads.
    /// - Throws: `MartletError` where the target is not empty or the bundle is no language model.
    public static func run(from bundle: URL, to target: URL) throws {
        if FileManager.default.fileExists(atPath: bundle.appending(path: AdapterFolder.configName).path) {
            _ = try AdapterFolder(bundle)
            try ModelImport.makeFolder(target)
            try ModelImport.copyAdapter(from: bundle, to: target)
            return
        }
        let folder = try ModelFolder(bundle)
        let files = try WeightFiles(folder: bundle)
        _ = try ModelImport.check(folder, files)
        try ModelImport.makeFolder(target)
        try ModelImport.copyWeights(files, from: bundle, to: target)
        try ModelImport.copyBeside(folder, to: target)
    }
}
