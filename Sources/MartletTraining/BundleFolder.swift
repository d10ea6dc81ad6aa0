import Foundation
import MartletWire

/// A bundle's folder while it is written.
enum BundleFolder {
    /// Fills a folder beside its place and renames it, so that a bundle is whole or not there.
    /// Throws `storageFull` where the disk is full.
    static func write(to directory: String, _ fill: (String) throws -> Void) throws {
        let temporary = directory + ".writing"
        do {
            if FileManager.default.fileExists(atPath: temporary) {
                try FileManager.default.removeItem(atPath: temporary)
            }
            try FileManager.default.createDirectory(atPath: temporary, withIntermediateDirectories: true)
            try fill(temporary)
            for name in try FileManager.default.contentsOfDirectory(atPath: temporary) {
                try DurableFile.sync("\(temporary)/\(name)")
            }
            try DurableFile.sync(temporary)
            if FileManager.default.fileExists(atPath: directory) {
                try FileManager.default.removeItem(atPath: directory)
            }
            try DurableFile.rename(temporary, to: directory)
        } catch {
            throw DurableFile.explain(error, what: "the model's bundle")
        }
    }

    static func write(_ value: some Encodable, _ name: String, in folder: String) throws {
        let encoder = JSONEncoder.wire
        encoder.outputFormatting.insert(.prettyPrinted)
        try DurableFile.write(try encoder.encode(value), to: "\(folder)/\(name)")
    }
}
