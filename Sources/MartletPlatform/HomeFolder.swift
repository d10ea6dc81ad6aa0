import Foundation
import Glibc
import MartletWire

/// The folder that holds everything.
public enum HomeFolder {
    /// Why `path` is no home and cannot be made one, with the remedy; nil where nothing speaks against it.
    public static func fault(_ path: String) -> MartletError? {
        var (place, isFolder) = (path, ObjCBool(false))
        while !FileManager.default.fileExists(atPath: place, isDirectory: &isFolder), place != "/" {
            place = (place as NSString).deletingLastPathComponent
        }
        guard isFolder.boolValue else {
            return MartletError(
                .usage, "the home '\(path)' cannot be made: '\(place)' is no folder; choose another with --home")
        }
        guard access(place, W_OK | X_OK) == 0 else {
            return MartletError(
                .forbidden,
                "the home '\(path)' cannot be written: '\(place)' is not yours; make it yours with chown, or choose another "
                    + "home with --home")
        }
        return nil
    }

    /// Makes it, for this user alone, where it is not there. Throws `usage` or `forbidden` with the remedy.
    public static func make(_ path: String) throws {
        if let fault = fault(path) { throw fault }
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch let error as CocoaError where error.code == .fileWriteOutOfSpace {
            throw MartletError(.storageFull, "the home '\(path)' cannot be made: the disk is full; free some space")
        } catch {
            throw MartletError(.usage, "the home '\(path)' cannot be made there; choose another with --home")
        }
    }
}
