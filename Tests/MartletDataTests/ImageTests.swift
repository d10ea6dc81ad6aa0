import Foundation
import MartletData
import MartletTesting
import MartletWire
import Testing

@Suite struct ImageTests {
    private func decode(_ bytes: [UInt8], channels: Int? = nil) throws -> Pixels {
        try bytes.withUnsafeBufferPointer { try ImageCodec.decode($0, channels: channels, what: "the image") }
    }

    @Test func `PNG and JPEG decode as Pillow decodes them`() throws {
        let color = try decode(ImageGoldens.colorPNG)
        #expect(color == Pixels(height: 5, width: 7, channels: 3, bytes: ImageGoldens.colorPixels))
        let grey = try decode(ImageGoldens.greyPNG)
        #expect(grey == Pixels(height: 6, width: 6, channels: 1, bytes: ImageGoldens.greyPixels))
        let jpeg = try decode(ImageGoldens.jpeg)
        #expect((jpeg.height, jpeg.width, jpeg.channels) == (16, 16, 3))
        var corners: [UInt8] = []
        for pixel in [0, 15 * 16 + 15, 7 * 16 + 3] { corners += jpeg.bytes[(pixel * 3)..<(pixel * 3 + 3)] }
        for (value, expected) in zip(corners, ImageGoldens.jpegPixels) { #expect(abs(Int(value) - Int(expected)) <= 2) }
        #expect(try decode(ImageGoldens.greyPNG, channels: 3).bytes.prefix(6) == [97, 97, 97, 110, 110, 110])
    }

    @Test func `resizing is within one of Pillow's bilinear filter`() throws {
        let small = Resizer.resize(try decode(ImageGoldens.colorPNG), height: 3, width: 4)
        let large = Resizer.resize(try decode(ImageGoldens.greyPNG), height: 9, width: 8)
        for (mine, theirs) in [
            (small.bytes, ImageGoldens.colorResizedTo3x4), (large.bytes, ImageGoldens.greyResizedTo9x8),
        ] {
            #expect(mine.count == theirs.count)
            for (a, b) in zip(mine, theirs) { #expect(abs(Int(a) - Int(b)) <= 1) }
        }
    }

    @Test func `an image that is none, is cut, is damaged, or is of another format`() throws {
        expectFault(.invalidData, ["the image", "neither PNG nor JPEG"]) { _ = try decode(Array("not an image".utf8)) }
        expectFault(.invalidData, ["the image"]) { _ = try decode([]) }
        for file in [ImageGoldens.colorPNG, ImageGoldens.jpeg] {
            for length in stride(from: 8, to: file.count - 16, by: 7) {
                expectFault(.invalidData, ["the image"]) { _ = try decode(Array(file.prefix(length))) }
            }
        }
        var damaged = ImageGoldens.colorPNG
        damaged[60] ^= 0xFF
        expectFault(.invalidData, ["the image"]) { _ = try decode(damaged) }
        expectFault(.unsupportedFormat, ["GIF", "PNG"]) { _ = try decode(Array("GIF89a".utf8) + [0, 0, 0, 0]) }
    }

    @Test func `a claim of 65,535² is refused before any room is made`() throws {
        var png = ImageGoldens.greyPNG
        png.replaceSubrange(16..<24, with: [0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF])
        expectFault(.invalidData, ["65535 × 65535", "scale it down"]) { _ = try decode(png) }
        png.replaceSubrange(16..<24, with: [0, 0, 0x40, 0, 0, 0, 0x20, 0])
        expectFault(.invalidData, ["16384 × 8192"]) { _ = try decode(png) }
        var jpeg = ImageGoldens.jpeg
        let frame = try #require(jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
        jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0xFF, 0xFF, 0xFF, 0xFF])
        expectFault(.invalidData, ["65,500 pixels a side", "scale it down"]) { _ = try decode(jpeg) }
        jpeg.replaceSubrange((frame + 5)..<(frame + 9), with: [0x75, 0x30, 0x75, 0x30])
        expectFault(.invalidData, ["30000 × 30000"]) { _ = try decode(jpeg) }
    }

    @Test func `I12: a JPEG of thousands of scans is refused`() throws {
        /// A grey image of 8 × 8 pixels whose one coefficient comes again and again.
        func progressive(scans: Int) -> [UInt8] {
            var bytes: [UInt8] = [0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0] + [UInt8](repeating: 1, count: 64)
            bytes += [0xFF, 0xC2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]
            bytes += [0xFF, 0xC4, 0, 20, 0, 1] + [UInt8](repeating: 0, count: 15) + [0]
            for _ in 0..<scans { bytes += [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0, 0x7F] }
            return bytes + [0xFF, 0xD9]
        }
        #expect(try decode(progressive(scans: 20)).bytes == [UInt8](repeating: 128, count: 64))
        expectFault(.invalidData, ["the image", "scans"]) { _ = try decode(progressive(scans: 5000)) }
    }

    @Test func `bytes at random never crash the reader`() {
        var state: UInt64 = 1
        for file in [ImageGoldens.greyPNG, ImageGoldens.jpeg] {
            for _ in 0..<300 {
                var bytes = file
                for _ in 0..<3 {
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    bytes[Int(state >> 33) % bytes.count] = UInt8(truncatingIfNeeded: state >> 24)
                }
                _ = try? decode(bytes)
            }
        }
    }

    @Test func `a folder of images with a subfolder for each label, split or not`() throws {
        let scratch = try Scratch()
        for split in ["train", "test"] {
            try scratch.write("data/\(split)/雨燕/a.png", ImageGoldens.colorPNG)
            try scratch.write("data/\(split)/sparrow/b.jpg", ImageGoldens.jpeg)
        }
        let plan = recipe([input("image", .image) { $0.size = [4, 4] }], [output("label", .category)])
        let data = try scratch.prepare(plan, [scratch.path + "/data"])
        #expect(data.report.splits == ["train": 2, "validation": 0, "test": 2])
        #expect(data.preprocessing.features[1].categories == ["sparrow", "雨燕"])
        let layout = data.preprocessing.layouts[0]
        #expect(layout.shape == [3, 4, 4])
        #expect(layout.storage == .uint8)
        let batch = try data.train.all()
        #expect(batch.bytes("image").count == 96)
        #expect(batch.ints("label") == [0, 1])
        let one = try scratch.prepare(plan, [scratch.path + "/data/train"])
        #expect(one.train.count == 2)
        let request = try data.preprocessing.encodeImages([ImageGoldens.jpeg])
        #expect(request.bytes("image") == Array(batch.bytes("image").prefix(48)))
        try scratch.write("data/train/sparrow/c.png", Array("no image".utf8))
        expectFault(.invalidData, ["sparrow/c.png", "neither PNG nor JPEG"]) {
            _ = try scratch.prepare(plan, [scratch.path + "/data"])
        }
    }

    @Test func `a table may name image files beside it, and nothing elsewhere`() throws {
        let scratch = try Scratch()
        try scratch.write("a.png", ImageGoldens.greyPNG)
        let plan = recipe([input("file", .image)], [output("label", .category)])
        let table = try scratch.write("t.csv", "file,label\na.png,x\n")
        let data = try scratch.prepare(plan, [table])
        #expect(try data.train.all().bytes("file") == ImageGoldens.greyPixels)
        for path in ["../a.png", "/etc/passwd"] {
            let bad = try scratch.write("bad.csv", "file,label\n\(path),x\n")
            expectFault(.invalidData, ["bad.csv, line 2", "outside"]) { _ = try scratch.prepare(plan, [bad]) }
        }
    }

    @Test func `images may be scaled by the training split's mean and deviation`() throws {
        let scratch = try Scratch()
        try scratch.write("d/a/1.png", ImageGoldens.greyPNG)
        let data = try scratch.prepare(
            recipe([input("image", .image) { $0.normalize = .zscore }], [output("label", .category)]),
            [scratch.path + "/d"])
        let values = try data.train.all().floats("image").map(Double.init)
        let mean = values.reduce(0, +) / 36
        let square = values.reduce(0) { $0 + $1 * $1 } / 36
        #expect(abs(mean) < 1e-6)
        #expect(abs(square - 1) < 1e-5)
        let floats = ImageGoldens.greyPixels.map { Float($0) / 255 }
        let request = try data.preprocessing.encode(tensors: [
            "image": RawTensor(shape: [1, 1, 6, 6], values: .floats(floats))
        ])
        expectClose(request.floats("image"), values.map(Float.init), tolerance: 1e-5)
    }
}

@Suite struct IDXTests {
    /// Two images of 2×3 pixels.
    private func images(_ rows: UInt8, from first: UInt8, claim: [UInt8]? = nil) -> [UInt8] {
        [0, 0, 8, 3] + (claim ?? [0, 0, 0, rows, 0, 0, 0, 2, 0, 0, 0, 3]) + (0..<(rows * 6)).map { first + $0 }
    }

    private let plan = recipe([input("image", .image)], [output("label", .category)]) {
        $0.data.split = SplitConfig()
        $0.data.split.validation = 0
    }

    @Test func `a folder of IDX pairs comes split as published`() throws {
        let scratch = try Scratch()
        try scratch.write("m/train-images-idx3-ubyte", images(2, from: 0))
        try scratch.write("m/train-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 2, 7, 3])
        try scratch.write("m/t10k-images-idx3-ubyte", images(1, from: 100))
        try scratch.write("m/t10k-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 1, 7])
        let data = try scratch.prepare(plan, [scratch.path + "/m"])
        #expect(data.report.splits == ["train": 2, "validation": 0, "test": 1])
        #expect(try data.train.all().bytes("image") == (0..<12).map { UInt8($0) })
        #expect(try data.train.all().ints("label") == [1, 0])
        #expect(data.preprocessing.features[1].categories == ["3", "7"])
        #expect(data.preprocessing.layouts[0].shape == [1, 2, 3])
        #expect(try data.test.all().bytes("image") == (100..<106).map { UInt8($0) })
        try scratch.write("m/labels.txt", "a\nb\nc\n雨\ne\nf\ng\n燕\n")
        #expect(try scratch.prepare(plan, [scratch.path + "/m"]).preprocessing.features[1].categories == ["燕", "雨"])
    }

    @Test func `gzipped IDX is read, and one that is cut or lies is refused`() throws {
        let scratch = try Scratch()
        // gzip of magic, 2 images of 2×3, values 0…11
        let zipped =
            Data(
                base64Encoded: "H4sIAAAAAAACA2Ng4GBmYGBggmJmBkYmZhZWNnYOTi5uAHgeI4QcAAAA"
            )
            .map { Array($0) } ?? []
        let file = try scratch.write("x-images-idx3-ubyte.gz", zipped)
        let profile = try DataProfile.profile(paths: [file])
        #expect(profile.rows == 2)
        #expect(profile.columns[0].imageSize == "2×3×1")
        expectFault(.invalidData, ["cut short after row 2"]) {
            let cut = images(3, from: 0).dropLast(3)
            _ = try DataProfile.profile(paths: [try scratch.write("cut-images-idx3-ubyte", Array(cut))])
        }
        expectFault(.invalidData, ["x-images", "damaged"]) {
            _ = try DataProfile.profile(paths: [try scratch.write("x-images-idx3-ubyte.gz", Array(zipped.dropLast(12)))]
            )
        }
        expectFault(.tooLarge, ["claims rows"]) {
            let claim: [UInt8] = [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
            _ = try DataProfile.profile(paths: [
                try scratch.write("big-images-idx3-ubyte", images(1, from: 0, claim: claim))
            ])
        }
        try scratch.write("p-labels-idx1-ubyte", [0, 0, 8, 1, 0, 0, 0, 1, 7])
        expectFault(.unsupportedFormat, ["q-labels", "2 dimensions", "labels have 1"]) {
            let rows: [UInt8] = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 8]
            _ = try DataProfile.profile(paths: [try scratch.write("q-labels-idx1-ubyte", rows)])
        }
        expectFault(.invalidData, ["2 images", "1 labels"]) {
            _ = try DataProfile.profile(paths: [try scratch.write("p-images-idx3-ubyte", images(2, from: 0))])
        }
    }
}
