import Foundation
import MartletWire

/// Writes an image cell as [channels, height, width].
enum ImageEncoder {
    static func encode(
        _ feature: FittedFeature, _ row: Row, _ cell: Cell, into out: UnsafeMutableRawPointer
    ) throws {
        let column = feature.columns[0]
        if cell.isMissing {
            throw row.missing(column, remedy: "give an image, or add drop_missing to data.clean")
        }
        if cell.kind == .pixels, cell.height == feature.height, cell.width == feature.width,
            cell.channels == feature.channels
        {
            write(feature, cell.bytes, to: out)
            return
        }
        let image = try pixels(row, cell, column, channels: feature.channels)
        let sized = Resizer.resize(image, height: feature.height, width: feature.width)
        sized.bytes.withUnsafeBufferPointer { write(feature, $0, to: out) }
    }

    /// The decoded image of a cell, with `channels` channels or its own.
    static func pixels(_ row: Row, _ cell: Cell, _ column: String, channels: Int?) throws -> Pixels {
        if cell.kind == .pixels {
            let own = Pixels(
                height: Int(cell.height), width: Int(cell.width), channels: Int(cell.channels), bytes: Array(cell.bytes)
            )
            return converted(own, channels: channels ?? own.channels)
        }
        return try withFile(row, cell, column) { bytes, what in
            try ImageCodec.decode(bytes, channels: channels, what: what)
        }
    }

    /// Gives `body` the bytes of the PNG or JPEG that a cell holds or names.
    static func withFile<Result>(
        _ row: Row, _ cell: Cell, _ column: String, _ body: (UnsafeBufferPointer<UInt8>, String) throws -> Result
    ) throws -> Result {
        switch cell.kind {
        case .encodedImage: return try body(cell.bytes, "\(row.place), column '\(column)': the image")
        case .file:
            let path = cell.string
            let bytes = try ImageFile.read(path)
            let what = row.line > 0 ? "\(row.place), column '\(column)': the image" : "the image '\(row.file)'"
            return try bytes.withUnsafeBufferPointer { try body($0, what) }
        case .text where !row.folder.isEmpty:
            // A table may name the image files that lie beside it.
            let name = cell.string
            guard !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
                throw row.fault(
                    column, cell, "points outside the data's folder", remedy: "name a file beside the table")
            }
            let bytes = try ImageFile.read(row.folder + "/" + name)
            return try bytes.withUnsafeBufferPointer {
                try body($0, "\(row.place), column '\(column)': the image '\(name)'")
            }
        default:
            throw row.fault(column, cell, "is not an image", remedy: "give a folder of PNG or JPEG files")
        }
    }

    private static func converted(_ image: Pixels, channels: Int) -> Pixels {
        guard image.channels != channels else { return image }
        let count = image.height * image.width
        var bytes = [UInt8](repeating: 0, count: count * channels)
        for index in 0..<count {
            if channels == 3 {
                for c in 0..<3 { bytes[index * 3 + c] = image.bytes[index] }
            } else {
                // ITU-R 601 luma, as the JPEG and PNG libraries make grey.
                let r = Int(image.bytes[index * 3]), g = Int(image.bytes[index * 3 + 1]),
                    b = Int(image.bytes[index * 3 + 2])
                bytes[index] = UInt8((r * 299 + g * 587 + b * 114 + 500) / 1000)
            }
        }
        return Pixels(height: image.height, width: image.width, channels: channels, bytes: bytes)
    }

    /// Interleaved pixels to planes, as bytes or as normalised floats.
    private static func write(
        _ feature: FittedFeature, _ pixels: UnsafeBufferPointer<UInt8>, to out: UnsafeMutableRawPointer
    ) {
        guard let source = pixels.baseAddress else { return }
        let plane = feature.height * feature.width
        let channels = feature.channels
        if feature.keepsBytes {
            if channels == 1 {
                memcpy(out, source, plane)
                return
            }
            let bytes = out.assumingMemoryBound(to: UInt8.self)
            for c in 0..<channels {
                for index in 0..<plane { bytes[c * plane + index] = source[index * channels + c] }
            }
            return
        }
        for c in 0..<channels {
            for index in 0..<plane {
                let value = feature.normalized(Double(source[index * channels + c]), c)
                out.storeBytes(of: value, toByteOffset: (c * plane + index) * 4, as: Float.self)
            }
        }
    }
}

/// An image file on disk.
enum ImageFile {
    static let maxBytes = 256 << 20

    static func read(_ path: String) throws -> [UInt8] {
        let name = (path as NSString).lastPathComponent
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw MartletError(.invalidData, "the image '\(name)' cannot be opened; check that the file is there")
        }
        defer { try? file.close() }
        let data = try file.read(upToCount: maxBytes + 1) ?? Data()
        guard data.count <= maxBytes else {
            throw MartletError(.tooLarge, "the image '\(name)' has more than 256 MiB; scale it down")
        }
        return Array(data)
    }
}

extension ImageEncoder {
    /// Height, width and channels of a cell's image, from its header alone.
    static func size(_ row: Row, _ cell: Cell, _ column: String) throws -> (height: Int, width: Int, channels: Int) {
        if cell.kind == .pixels { return (Int(cell.height), Int(cell.width), Int(cell.channels)) }
        return try withFile(row, cell, column) { try ImageCodec.header($0, what: $1) }
    }
}
