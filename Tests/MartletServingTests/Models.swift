import Foundation
import MartletWire

/// The models that these tests ask.
enum Models {
    /// Numbers, a category, words, a truth value and a vector → a label and a number.
    static let mixed = Result { try mixedModel() }
    /// 6×6 images → one of three labels.
    static let images = Result { try imageModel() }

    static func mixedTable(rows: Int) -> String {
        var state: UInt64 = 77
        func next() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 11) / Double(1 << 53)
        }
        var text = "a,color,note,flag,v0,v1,v2,label\n"
        for _ in 0..<rows {
            let (a, color, flag) = (next() * 4 - 2, ["红", "green", "blue"][Int(next() * 3)], next() > 0.5)
            let v = (0..<3).map { _ in next() }
            let score = a + (color == "红" ? 1 : 0) + (flag ? 0.5 : 0) + v[0] + next()
            let note = score > 1.2 ? "bright and warm day" : next() > 0.5 ? "cold 雨 day" : "rain"
            text += String(format: "%.3f,", a) + "\(color),\(note),\(flag),"
            text += v.map { String(format: "%.3f,", $0) }.joined()
            text += score > 1.2 ? "high\n" : score > 0 ? "中\n" : "low\n"
        }
        return text
    }

    private static func mixedModel() throws -> Fixture {
        try Fixture(
            """
            name: mixed
            data: {source: mixed.csv, split: {train: 0.75, validation: 0, test: 0.25, order: sequential}}
            inputs:
              a: number
              color: {type: category, encoder: {type: embedding, embedding_size: 3}}
              note: {type: text, max_length: 5, encoder: {type: gru, embedding_size: 6, hidden: 5, bidirectional: true}}
              flag: boolean
              v: {type: vector, columns: ["v{0..2}"]}
            outputs: {label: category}
            combiner: {layers: [12], activation: relu, dropout: 0.1}
            training: {epochs: 6, batch_size: 16, optimizer: {type: adam, learning_rate: 0.01}}
            """, table: mixedTable(rows: 200), name: "mixed.csv", heldRows: 50)
    }

    static func pixels(_ index: Int) -> [UInt8] {
        (0..<36).map { place in
            let (y, x) = (place / 6, place % 6)
            return y % 3 == index % 3 ? UInt8(180 + (x * 7 + index * 13) % 70) : UInt8((x * 3 + y + index) % 9)
        }
    }

    private static func imageModel() throws -> Fixture {
        try Fixture(
            """
            name: pictures
            data: {source: images, split: {train: 1, validation: 0, test: 0}}
            inputs: {image: {type: image, encoder: {type: cnn, channels: [4], kernel: 3, pool: 2, norm: batch}}}
            outputs: {label: category}
            training: {epochs: 8, batch_size: 8, optimizer: {type: adam, learning_rate: 0.01}}
            """
        ) { folder in
            func header(_ sizes: [Int]) -> [UInt8] {
                [0, 0, 8, UInt8(sizes.count)] + sizes.flatMap { [0, 0, 0, UInt8($0)] }
            }
            let images = header([48, 6, 6]) + (0..<48).flatMap(pixels)
            let labels = header([48]) + (0..<48).map { UInt8($0 % 3) }
            try Data(images).write(to: URL(filePath: folder + "/train-images-idx3-ubyte"))
            try Data(labels).write(to: URL(filePath: folder + "/train-labels-idx1-ubyte"))
        }
    }

    /// The inputs of rows of the mixed model as an Open Inference request's `inputs`.
    static func inputs(_ rows: [[String]]) -> String {
        let count = rows.count
        func list(_ column: Int, quoted: Bool) -> String {
            rows.map { quoted ? "\"\($0[column])\"" : $0[column] }.joined(separator: ",")
        }
        let vectors = rows.map { "[\($0[4]),\($0[5]),\($0[6])]" }.joined(separator: ",")
        return """
            {"name":"a","datatype":"FP32","shape":[\(count)],"data":[\(list(0, quoted: false))]},
            {"name":"color","datatype":"BYTES","shape":[\(count)],"data":[\(list(1, quoted: true))]},
            {"name":"note","datatype":"BYTES","shape":[\(count)],"data":[\(list(2, quoted: true))]},
            {"name":"flag","datatype":"BOOL","shape":[\(count)],"data":[\(list(3, quoted: false))]},
            {"name":"v","datatype":"FP32","shape":[\(count),3],"data":[\(vectors)]}
            """
    }

    /// The same rows for `predict`.
    static func rows(_ rows: [[String]]) -> String {
        let objects = rows.map {
            "{\"a\":\($0[0]),\"color\":\"\($0[1])\",\"note\":\"\($0[2])\",\"flag\":\($0[3]),"
                + "\"v0\":\($0[4]),\"v1\":\($0[5]),\"v2\":\($0[6])}"
        }
        return "{\"rows\":[\(objects.joined(separator: ","))]}"
    }
}
