import CImages
import Foundation
import MartletWire

/// Pixels of 0…255, rows of `width` pixels of `channels` bytes.
package struct Pixels: Sendable, Equatable {
    package var height: Int
    package var width: Int
    package var channels: Int
    package var bytes: [UInt8]

    package init(height: Int, width: Int, channels: Int, bytes: [UInt8]) {
        self.height = height
        self.width = width
        self.channels = channels
        self.bytes = bytes
    }
}

/// Reads PNG and JPEG; what a header claims is checked before any room is made for it.
package enum ImageCodec {
    /// Pixels on a side.
    package static let maxSide = 16_384
    /// Pixels of an image.
    package static let maxPixels = 64 << 20

    /// Height, width and channels (1 grey, 3 colour). `what` names the image in messages: `folder/cat.png`, `row 3`.
    package static func header(_ bytes: UnsafeBufferPointer<UInt8>, what: String) throws -> (
        height: Int, width: Int, channels: Int
    ) {
        let info = try info(bytes, what)
        return (Int(info.height), Int(info.width), Int(info.channels))
    }

    /// The image with `channels` channels, or its own where nil. Throws `invalidData`, `tooLarge` or
    /// `unsupportedFormat`.
    package static func decode(_ bytes: UnsafeBufferPointer<UInt8>, channels: Int?, what: String) throws -> Pixels {
        var info = try info(bytes, what)
        let channels = channels ?? Int(info.channels)
        let (height, width) = (Int(info.height), Int(info.width))
        var error = [CChar](repeating: 0, count: Int(MARTLET_IMAGE_ERROR_SIZE))
        var status: Int32 = -1
        let size = height * width * channels
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { out, count in
            // Transparent pixels lie on white.
            out.initialize(repeating: 255)
            status = martlet_image_decode(
                bytes.baseAddress, bytes.count, &info, Int32(channels), out.baseAddress, &error)
            count = size
        }
        guard status == 0 else { throw damaged(what, error) }
        return Pixels(height: height, width: width, channels: channels, bytes: pixels)
    }

    private static func info(_ bytes: UnsafeBufferPointer<UInt8>, _ what: String) throws -> martlet_image_info {
        if let format = otherFormat(bytes) {
            throw MartletError(
                .unsupportedFormat, "\(what) is a \(format) file; convert it to PNG or JPEG")
        }
        var info = martlet_image_info()
        var error = [CChar](repeating: 0, count: Int(MARTLET_IMAGE_ERROR_SIZE))
        guard martlet_image_header(bytes.baseAddress, bytes.count, &info, &error) == 0 else {
            throw damaged(what, error)
        }
        let (height, width) = (Int(info.height), Int(info.width))
        guard height <= maxSide, width <= maxSide, height * width <= maxPixels else {
            throw MartletError(
                .tooLarge,
                "\(what) claims \(width) × \(height) pixels; at most 16,384 a side and 67,108,864 in all are read: "
                    + "scale it down")
        }
        return info
    }

    private static func damaged(_ what: String, _ error: [CChar]) -> MartletError {
        let reason = String(decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if reason.contains("Maximum supported image dimension") {
            return MartletError(
                .tooLarge, "\(what) claims more than 65,500 pixels a side; at most 16,384 are read: scale it down")
        }
        return MartletError(
            .invalidData, "\(what) is not a PNG or JPEG image that can be read: \(reason); replace or remove it")
    }

    private static func otherFormat(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
        let start = Array(bytes.prefix(12))
        if start.starts(with: Array("GIF8".utf8)) { return "GIF" }
        if start.starts(with: Array("RIFF".utf8)), start.suffix(4) == Array("WEBP".utf8)[...] { return "WebP" }
        if start.starts(with: Array("BM".utf8)) { return "BMP" }
        if start.starts(with: [0x49, 0x49, 0x2A, 0]) || start.starts(with: [0x4D, 0x4D, 0, 0x2A]) { return "TIFF" }
        return nil
    }
}

/// Changes an image's size by a triangle filter whose support grows when it shrinks, so that nothing is skipped.
package struct Resizer {
    private struct Axis {
        var starts: [Int]
        var weights: [[Float]]

        init(from: Int, to: Int) {
            let scale = Double(from) / Double(to)
            let support = max(scale, 1)
            starts = []
            weights = []
            for index in 0..<to {
                let center = (Double(index) + 0.5) * scale
                let low = max(0, Int(center - support + 0.5))
                let high = min(from, Int(center + support + 0.5))
                var taps = (low..<max(high, low + 1)).map { max(0, 1 - abs((Double($0) + 0.5 - center) / support)) }
                let sum = taps.reduce(0, +)
                taps = sum > 0 ? taps.map { $0 / sum } : taps.map { _ in 1 / Double(taps.count) }
                starts.append(low)
                weights.append(taps.map(Float.init))
            }
        }
    }

    package static func resize(_ image: Pixels, height: Int, width: Int) -> Pixels {
        guard image.height != height || image.width != width else { return image }
        let (channels, oldWidth) = (image.channels, image.width)
        let columns = Axis(from: image.width, to: width)
        let rows = Axis(from: image.height, to: height)
        var middle = [Float](repeating: 0, count: image.height * width * channels)
        for y in 0..<image.height {
            for x in 0..<width {
                for c in 0..<channels {
                    var sum: Float = 0
                    for (tap, weight) in columns.weights[x].enumerated() {
                        sum += weight * Float(image.bytes[(y * oldWidth + columns.starts[x] + tap) * channels + c])
                    }
                    middle[(y * width + x) * channels + c] = sum
                }
            }
        }
        var out = [UInt8](repeating: 0, count: height * width * channels)
        let line = width * channels
        for y in 0..<height {
            for x in 0..<line {
                var sum: Float = 0
                for (tap, weight) in rows.weights[y].enumerated() {
                    sum += weight * middle[(rows.starts[y] + tap) * line + x]
                }
                out[y * line + x] = UInt8(max(0, min(255, sum.rounded())))
            }
        }
        return Pixels(height: height, width: width, channels: channels, bytes: out)
    }
}
