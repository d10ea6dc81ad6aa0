import Foundation
import MartletTensor
import MartletWire
import Testing

@Suite final class SafeTensorsTests {
    private let folder: URL

    deinit { try? FileManager.default.removeItem(at: folder) }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func file(_ header: String, data: Int = 0, length: UInt64? = nil) throws -> String {
        let path = folder.appending(path: UUID().uuidString).path
        var bytes = Data((0..<8).map { UInt8(truncatingIfNeeded: (length ?? UInt64(header.utf8.count)) >> (8 * $0)) })
        bytes += Data(header.utf8) + Data(count: data)
        try bytes.write(to: URL(filePath: path))
        return path
    }

    @Test func tensorsAndMetadataComeBackAndTheBytesAreAlwaysTheSame() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let tensors = try [
            ("b", Tensor([1.5, -2, 0] as [Float])), ("权重.\"x\"\n", Tensor([1, 2, 3, 4] as [Int64], shape: [2, 2])),
            ("flag", Tensor([true, false] as [Bool])), ("half", Tensor([1, 2] as [Float]).to(.bfloat16)),
            ("empty", Tensor.zeros([0, 4])), ("scalar", Tensor(scalar: 3.25)),
            ("turned", Tensor([1, 2, 3, 4] as [Float], shape: [2, 2]).transpose(0, 1)),
        ]
        let first = folder.appending(path: "a").path
        let second = folder.appending(path: "b").path
        try SafeTensors.write(tensors, metadata: ["format": "pt", "a": "1"], to: first)
        try SafeTensors.write(tensors.reversed(), metadata: ["a": "1", "format": "pt"], to: second)
        #expect(try Data(contentsOf: URL(filePath: first)) == Data(contentsOf: URL(filePath: second)))
        let read = try SafeTensors(path: first)
        #expect(read.metadata == ["format": "pt", "a": "1"])
        #expect(Set(read.names) == Set(tensors.map(\.0)))
        for (name, tensor) in tensors {
            let back = try read.tensor(name)
            #expect(back.shape == tensor.shape && back.scalarType == tensor.scalarType)
            #expect(try back.equals(tensor))
        }
        let missing = #expect(throws: MartletError.self) { try read.tensor("nothing") }
        #expect(missing?.code == .notFound)
    }

    @Test(
        "M03: a broken file is refused by what is wrong",
        arguments: [
            (
                "hole",
                #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
                3, "hole"
            ),
            (
                "overlap",
                #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
                3, "overlaps"
            ),
            ("trailing", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 2, "belong to none"),
            ("short", #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, 3, "but the data has 3"),
            (
                "twice",
                #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
                2, "given twice"
            ),
            (
                "overflow", #"{"a":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0,
                "too large"
            ),
            (
                "hidden", #"{"a":{"dtype":"F64","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}"#, 0,
                "too large"
            ),
            ("number", #"{"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}}"#, 1, "too large"),
            ("negative", #"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, 1, "whole numbers"),
            ("length", #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, "its shape takes 8"),
            ("backwards", #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[3,2]}}"#, 3, "ends before it starts"),
            ("type", #"{"a":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}}"#, 1, "not supported"),
            ("key", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#, 1, "unknown"),
            ("start", #"[{}]"#, 0, "does not start with '{'"),
            ("space", #" {}"#, 0, "does not start with '{'"),
            ("after", #"{}{}"#, 0, "follows the header"),
            ("comma", #"{"a":{"dtype":"U8","shape":[1,],"data_offsets":[0,1]}}"#, 1, "whole numbers"),
            ("end", #"{"a"#, 0, "does not end"),
            ("surrogate", #"{"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, "surrogate"),
            ("nested", "{\"a\":" + String(repeating: "[", count: 5000) + "}", 0, "is missing"),
        ])
    func aBrokenFileIsRefusedByWhatIsWrong(_ name: String, _ header: String, _ data: Int, _ words: String) throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = try file(header, data: data)
        let error = #expect(throws: MartletError.self) { try SafeTensors(path: path) }
        #expect(error?.code == .invalidData)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test("M03: a header longer than the file or the limit is refused")
    func aHeaderLongerThanTheFileOrTheLimitIsRefused() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        for length: UInt64 in [3, 100_000_001, UInt64(Int64.max), .max, 0] {
            #expect(throws: MartletError.self) { try SafeTensors(path: file("{}", length: length)) }
        }
        #expect(try SafeTensors(path: file("{}")).entries.isEmpty)
        #expect(try SafeTensors(path: file("{}   ")).entries.isEmpty)
        let none = #expect(throws: MartletError.self) { try SafeTensors(path: "/nowhere/x.safetensors") }
        #expect(none?.code == .notFound)
    }

    @Test("M03: any cut of a valid file is refused") func anyCutOfAValidFileIsRefused() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "whole").path
        try SafeTensors.write([("a", Tensor([1, 2, 3] as [Float])), ("b", Tensor.ones([2]))], to: path)
        let bytes = try Data(contentsOf: URL(filePath: path))
        for count in 0..<bytes.count {
            try bytes.prefix(count).write(to: URL(filePath: path))
            #expect(throws: MartletError.self) { try SafeTensors(path: path) }
        }
    }
}
