import Foundation
import MartletServing
import MartletTesting
import MartletWire
import Testing

/// What a client can get wrong, or mean badly: each is refused with a clear error, and the server goes on.
@Suite struct RefusalTests {
    private static func good() throws -> String { Models.inputs([try Models.mixed.get().held[0]]) }

    /// The usual request with another tensor in place of `a`.
    private static func with(_ tensor: String, binary: [UInt8] = []) throws -> Request {
        let usual = try good()
        let end = try #require(usual.firstIndex(of: "}"))
        return .infer("{\"inputs\":[\(tensor)\(usual[usual.index(after: end)...])]}", binary: binary)
    }

    private static func a(_ type: String, _ shape: String, _ data: String) -> String {
        "{\"name\":\"a\",\"datatype\":\"\(type)\",\"shape\":\(shape),\"data\":\(data)}"
    }

    private static func refuse(
        _ request: Request, _ parts: [String] = [], _ location: SourceLocation = #_sourceLocation
    ) throws {
        let model = try Models.mixed.get()
        // A good neighbour is answered all the same.
        let answers = try model.ask([request, .infer("{\"inputs\":[\(good())]}")])
        expectFault(.invalidRequest, parts, location) { _ = try answers[0].get() }
        #expect(throws: Never.self, sourceLocation: location) { try answers[1].get() }
    }

    @Test func `impossible shapes are refused before anything is made of them`() throws {
        let deep = "[" + String(repeating: "1,", count: 9_999) + "1]"
        for (shape, part) in [
            ("[16,1152921504606846978]", "multiply"), ("[-1,-1]", "-1"),
            ("[0]", "0 values"), (deep, "at most 8"), ("[2]", "2 values"), ("[]", "'a'"), ("[1.5]", "1.5"),
            ("[1e30]", "shape"), ("[\"1\"]", "\"1\""), ("[null]", "null"), ("\"1\"", "list"), ("{}", "list"),
            ("[9223372036854775807,2]", "multiply"), ("[99999999999999999999]", "shape"),
            ("[1,1,1,1,1,1,1,1,1]", "at most 8"),
            ("[1,3]", "3 values"),
        ] {
            try Self.refuse(try Self.with(Self.a("FP32", shape, "[1]")), [part])
        }
    }

    @Test func `numbers that are none are refused`() throws {
        for data in [
            "[NaN]", "[Infinity]", "[-Infinity]", "[1e300]", "[-1e39]", "[\"1\"]", "[null]", "[true]", "[1,]", "[]",
            "1", "[01]", "[.5]", "[+1]", "[1e]", "[--1]",
        ] {
            try Self.refuse(try Self.with(Self.a("FP32", "[1]", data)))
        }
        for bits: UInt32 in [0x7FC0_0000, 0x7F80_0000, 0xFF80_0000] {
            try Self.refuse(
                try Self.with(
                    "{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":4}}",
                    binary: Little.floats([Float(bitPattern: bits)])), ["'a'", "finite"])
        }
        try Self.refuse(try Self.with(Self.a("INT64", "[1]", "[1.5]")), ["1.5", "INT64"])
        try Self.refuse(try Self.with(Self.a("INT64", "[1]", "[9223372036854775808]")), ["INT64"])
        for (type, value) in [
            ("UINT8", "256"), ("INT8", "128"), ("INT16", "-32769"), ("INT32", "3000000000"), ("UINT16", "-1"),
            ("UINT32", "4294967296"), ("UINT64", "-1"),
        ] {
            try Self.refuse(try Self.with(Self.a(type, "[1]", "[\(value)]")), [value, type])
        }
    }

    @Test func `wrong types, names and fields are named`() throws {
        try Self.refuse(try Self.with(Self.a("BYTES", "[1]", "[\"1\"]")), ["'a'", "BYTES", "FP32"])
        try Self.refuse(try Self.with(Self.a("FP17", "[1]", "[1]")), ["FP17"])
        try Self.refuse(try Self.with("{\"name\":\"a\",\"shape\":[1],\"data\":[1]}"), ["'a'"])
        try Self.refuse(try Self.with("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1]}"), ["no data"])
        try Self.refuse(try Self.with(Self.a("FP32", "[2]", "[1,2]")), ["rows"])
        try Self.refuse(
            try Self.with("{\"name\":\"age\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}"), ["age", "'color'"])
        try Self.refuse(try Self.with("{\"name\":\"a\",\"dtype\":\"FP32\",\"shape\":[1],\"data\":[1]}"), ["dtype"])
        try Self.refuse(.infer("{\"inputs\":[\(Self.a("FP32", "[1]", "[1]"))]}"), ["missing"])
        try Self.refuse(.infer("{\"inputs\":[]}"), ["missing"])
        try Self.refuse(.infer("{\"inputs\":[\(Self.good())],\"outputs\":[{\"name\":\"price\"}]}"), ["price", "label"])
        try Self.refuse(.infer("{\"inputs\":[\(Self.good())],\"outputs\":[{}]}"), ["outputs"])
        try Self.refuse(.infer("{\"input\":[]}"), ["input", "inputs"])
        try Self.refuse(.infer("[]"))
        try Self.refuse(.infer(""))
        try Self.refuse(.infer("{"))
    }

    @Test func `A08: reserved names of parameters are refused`() throws {
        for name in ["triton_enable_empty_final_response", "__owner"] {
            try Self.refuse(
                .infer("{\"inputs\":[\(Self.good())],\"parameters\":{\"\(name)\":true}}"), [name, "reserved"])
        }
    }

    @Test func `a key or a tensor that stands twice is refused`() throws {
        try Self.refuse(.infer("{\"id\":\"1\",\"id\":\"2\",\"inputs\":[\(Self.good())]}"), ["duplicate_key", "id"])
        try Self.refuse(
            try Self.with("{\"name\":\"a\",\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}"), ["name"])
        try Self.refuse(
            try Self.with(Self.a("FP32", "[1]", "[1]") + "," + Self.a("FP32", "[1]", "[2]")), ["'a'", "twice"])
        try Self.refuse(
            .infer("{\"inputs\":[\(Self.good())],\"parameters\":{\"x\":1,\"x\":2}}"), ["x"])
        try Self.refuse(.predict("{\"rows\":[{\"a\":1,\"a\":2}]}"), ["a"])
    }

    @Test func `depth is limited everywhere that a value may stand`() throws {
        let deep = String(repeating: "[", count: 10_000)
        let objects = String(repeating: "{\"a\":", count: 10_000)
        for body in [
            deep, "{\"inputs\":\(deep)", "{\"id\":\(deep)", "{\"parameters\":\(objects)",
            "{\"inputs\":[{\"shape\":\(deep)",
            "{\"inputs\":[{\"datatype\":\"FP32\",\"data\":\(deep)",
            "{\"inputs\":[{\"datatype\":\"BYTES\",\"data\":\(deep)",
            "{\"inputs\":[{\"data\":\(deep)", "{\"outputs\":\(deep)", "{\"outputs\":[\(objects)",
        ] {
            try Self.refuse(.infer(body))
        }
        try Self.refuse(.predict("{\"rows\":\(deep)"))
        try Self.refuse(.predict("{\"rows\":[{\"a\":\(objects)"))
    }

    @Test func `binary lengths that do not add up are refused`() throws {
        let usual = try Self.good()
        func tensor(_ size: String) -> String {
            "{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1],\"parameters\":{\"binary_data_size\":\(size)}}"
        }
        let one = Little.floats([1])
        try Self.refuse(try Self.with(tensor("400"), binary: one), ["400", "4 are left"])
        try Self.refuse(try Self.with(tensor("-4"), binary: one), ["-4"])
        try Self.refuse(try Self.with(tensor("9223372036854775807"), binary: one), ["are left"])
        try Self.refuse(try Self.with(tensor("3"), binary: Array(one[..<3])), ["3 bytes"])
        try Self.refuse(try Self.with(tensor("4"), binary: one + one), ["4 bytes are left"])
        try Self.refuse(try Self.with(tensor("8"), binary: one + one), ["2 values"])
        let note = "{\"name\":\"a\",\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":6}}"
        try Self.refuse(try Self.with(note, binary: [255, 255, 255, 255, 65, 66]), ["longer"])
        try Self.refuse(try Self.with(note, binary: [1, 0, 0, 0, 65, 66]), ["longer"])
        for length in [-1, 1 << 40, 100_000] {
            var request = Request.infer("{\"inputs\":[\(usual)]}")
            request.request.headerLength = length
            try Self.refuse(request, ["Inference-Header-Content-Length", "\(length)"])
        }
        var short = Request.infer("{\"inputs\":[\(usual)]}")
        short.request.headerLength = 10
        try Self.refuse(short)
    }

    @Test func `text must be text`() throws {
        let usual = try Self.good()
        let note = try #require(usual.range(of: #"\{"name":"note"[^}]*\}"#, options: .regularExpression))
        let broken = usual.replacingCharacters(
            in: note,
            with: "{\"name\":\"note\",\"datatype\":\"BYTES\",\"shape\":[1],\"parameters\":{\"binary_data_size\":6}}")
        try Self.refuse(.infer("{\"inputs\":[\(broken)]}", binary: [2, 0, 0, 0, 0xC3, 0x28]), ["note", "UTF-8"])
    }

    @Test func `rows of predict are checked by name`() throws {
        let row = Models.rows([try Models.mixed.get().held[0]]).dropFirst(9).dropLast(2)
        try Self.refuse(.predict("{\"rows\":[]}"), ["rows"])
        try Self.refuse(.predict("{\"rows\":[1]}"), ["row 1"])
        try Self.refuse(.predict("{\"rows\":[\(row)],\"model\":\"x\"}"), ["model"])
        try Self.refuse(.predict("[]"), ["rows"])
        try Self.refuse(.predict("{\"rows\":[\(row),{\"color\":\"红\"}]}"), ["row 2", "'a'"])
        let model = try Models.mixed.get()
        let text = row.replacingOccurrences(of: #""a":[-0-9.]+"#, with: "\"a\":\"many\"", options: .regularExpression)
        let fault = try model.ask([.predict("{\"rows\":[\(text)]}")])[0]
        #expect(throws: MartletError.self) { try fault.get() }
        if case .failure(let error) = fault {
            #expect([.invalidRequest, .invalidData].contains(error.code))
            for part in ["row 1", "'a'", "many"] { #expect(error.message.contains(part), "\(error.message)") }
        }
    }

    @Test func `a file goes to a model of images alone, and must be an image`() throws {
        let file = Request(request: InferenceRequest(api: .file), body: Array("not an image".utf8))
        try Self.refuse(file, ["not one image"])
        let answer = try Models.images.get().ask([file])[0]
        if case .failure(let error) = answer {
            #expect([.invalidRequest, .invalidData].contains(error.code), "\(error.message)")
        } else {
            Issue.record("words were taken for an image")
        }
    }

    @Test func `a bundle that is not whole is not served`() throws {
        let model = try Models.images.get()
        for file in [BundleFile.weights, BundleFile.config, BundleFile.preprocessing] {
            let copy = model.directory + "/copy-" + file
            try FileManager.default.copyItem(atPath: model.bundle, toPath: copy)
            try Data("{}".utf8).write(to: URL(filePath: copy + "/" + file))
            #expect(throws: MartletError.self, "\(file)") { _ = try LoadedModel(bundle: copy, device: .cpu) }
            try FileManager.default.removeItem(atPath: copy + "/" + file)
            #expect(throws: MartletError.self, "\(file)") { _ = try LoadedModel(bundle: copy, device: .cpu) }
        }
    }
}
