import Foundation
import Synchronization

/// A folder of its own for one test, removed with this.
public final class Scratch: Sendable {
    public let path: String

    public init() throws {
        path = NSTemporaryDirectory() + "martlet-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    /// Folders in `name` are made.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = path + "/" + name
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(filePath: file))
        return file
    }
}

/// Gives `body` a folder of its own, which is removed after it.
public func withScratch<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let scratch = try Scratch()
    return try withExtendedLifetime(scratch) { try body(URL(filePath: scratch.path)) }
}

/// Folders of fixtures that live as long as the process, which no `deinit` removes.
public enum RemovedAtExit {
    private static let folders = Mutex<[String]>([])

    public static func add(_ folder: String) {
        folders.withLock { folders in
            if folders.isEmpty { atexit { RemovedAtExit.removeAll() } }
            folders.append(folder)
        }
    }

    private static func removeAll() {
        for folder in folders.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: folder) }
    }
}
