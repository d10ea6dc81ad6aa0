import Foundation

/// What lies in a folder, in the order of names; hidden things are no part of it.
struct FolderContents {
    private(set) var files: [String] = []
    private(set) var folders: [String] = []

    init(_ path: String) throws {
        for entry in try FileManager.default.contentsOfDirectory(atPath: path).sorted() where !entry.hasPrefix(".") {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path + "/" + entry, isDirectory: &isFolder) else { continue }
            if isFolder.boolValue { folders.append(entry) } else { files.append(entry) }
        }
    }
}

/// Folders that lie beside the files of a folder of data: only the files are read.
struct LeftFolders {
    private var folders: [(name: String, fileCount: Int)] = []

    /// - Parameter prefix: what stands before the folders' names for a person.
    mutating func add(_ names: [String], in path: String, prefix: String = "") {
        for name in names {
            let count = Self.fileCount("\(path)/\(name)")
            if count > 0 { folders.append((prefix + name, count)) }
        }
    }

    /// What a person should hear of them; nil where there are none.
    var remark: String? {
        guard !folders.isEmpty else { return nil }
        func counted(_ count: Int, _ what: String) -> String { count == 1 ? "1 \(what)" : "\(count) \(what)s" }
        let shown = folders.prefix(5).map { "\($0.name) (\(counted($0.fileCount, "file")))" }.joined(separator: ", ")
        return "\(counted(folders.count, "folder")) beside the files \(folders.count == 1 ? "is" : "are") left out: "
            + shown + (folders.count > 5 ? ", …" : "")
            + "; put their files beside the others, or add each folder as a dataset and name all of them in data.source"
    }

    /// Images are no data of their own beside other files: a row may name them.
    private static func fileCount(_ path: String) -> Int {
        guard let found = FileManager.default.enumerator(atPath: path) else { return 0 }
        var count = 0
        while let name = found.nextObject() as? String {
            let isHidden = name.split(separator: "/").contains { $0.hasPrefix(".") }
            let suffix = FileFormat.suffix(name)
            let isImage = FileFormat.imageSuffixes.union(FileFormat.otherImageSuffixes).contains(suffix)
            if !isHidden, !isImage, found.fileAttributes?[.type] as? FileAttributeType != .typeDirectory { count += 1 }
        }
        return count
    }
}
