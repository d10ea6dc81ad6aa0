import Foundation
import MartletWire

/// PNG and JPEG files in folders, where a folder's name is the label of its images.
struct ImageFolder: Sendable {
    static let columns = ["image", "label"]
    let path: String
    /// Label → file names, both sorted.
    let classes: [(label: String, files: [String])]
    /// Without subfolders there are no labels.
    let hasLabels: Bool

    /// nil where the folder holds no image in the right places.
    init?(path: String, folders: [String], files: [String]) throws {
        self.path = path
        let own = files.filter { FileFormat.imageSuffixes.contains(FileFormat.suffix($0)) }
        if folders.isEmpty {
            guard !own.isEmpty else { return nil }
            classes = [("", own)]
            hasLabels = false
            return
        }
        classes = try folders.map { folder in
            let names = try FileManager.default.contentsOfDirectory(atPath: path + "/" + folder)
                .filter { !$0.hasPrefix(".") }.sorted()
            for name in names {
                let suffix = FileFormat.suffix(name)
                if FileFormat.otherImageSuffixes.contains(suffix) {
                    throw FileFormat.unsupported(folder + "/" + name, suffix.uppercased())
                }
            }
            return (folder, names.filter { FileFormat.imageSuffixes.contains(FileFormat.suffix($0)) })
        }
        guard classes.contains(where: { !$0.files.isEmpty }) else { return nil }
        hasLabels = true
    }

    var partColumns: [String] { hasLabels ? Self.columns : ["image"] }

    final class Reader: RowReader {
        private let folder: ImageFolder
        private let table: [String]
        private var label = 0
        private var file = 0
        private var arena = Arena()

        init(_ folder: ImageFolder, table: [String]) {
            self.folder = folder
            self.table = table
        }

        func next(_ row: Row) throws -> Bool {
            while label < folder.classes.count, file == folder.classes[label].files.count {
                label += 1
                file = 0
            }
            guard label < folder.classes.count else { return false }
            let (name, files) = folder.classes[label]
            let relative = folder.hasLabels ? name + "/" + files[file] : files[file]
            file += 1
            arena = Arena()
            row.file = relative
            row.line = 0
            row.cells = table.map { column in
                switch column {
                case "image": arena.cell(.file, Array((folder.path + "/" + relative).utf8))
                case "label" where folder.hasLabels: arena.cell(.text, Array(name.utf8))
                default: .missing
                }
            }
            return true
        }
    }
}
