import Foundation
import MartletData
import MartletWire
import Testing

@Suite struct PipelineTests {
    @Test func `a table goes from CSV to numbers and a request is treated the same way`() throws {
        let scratch = try Scratch()
        let file = try scratch.write("雨燕.csv", "年龄,color,标签\n1,red,雨燕\n2,blue,麻雀\n3,red,雨燕\n6,green,麻雀\n")
        let data = try scratch.prepare(
            recipe([input("年龄", .number), input("color", .category)], [output("标签", .category)]), [file])
        let batch = try data.train.all()
        // mean 3, population deviation sqrt(14/4)
        let s = Float(3.5).squareRoot()
        expectClose(batch.floats("年龄"), [-2 / s, -1 / s, 0, 3 / s])
        #expect(batch.ints("color") == [3, 1, 3, 2])
        #expect(batch.ints("标签") == [0, 1, 0, 1])
        #expect(data.validation.count == 0)
        let again = try data.train.batch(rows: [3, 0])
        expectClose(again.floats("年龄"), [3 / s, -2 / s])
        #expect(again.ints("color") == [2, 3])

        let saved = scratch.path + "/preprocessing.json"
        try data.preprocessing.encoded().write(to: URL(fileURLWithPath: saved))
        let serving = try Preprocessing.read(from: saved)
        #expect(serving == data.preprocessing)
        let request = try serving.encode(rows: [
            ["年龄": 6, "color": "violet", "标签": "?"], ["年龄": "2", "color": "blue"],
        ])
        expectClose(request.floats("年龄"), [3 / s, -1 / s])
        #expect(request.ints("color") == [0, 1])
        #expect(request.features.count == 2)
    }
}
