import Foundation
import MartletWire
import Testing

@Suite struct JSONTests {
    @Test func readsWhatItWrites() throws {
        let text = #"{"b":[1,-2.5,1e3,null,true],"a":"x\n\u0000é😀","c":{}}"#
        let value = try JSONParser.parse(text)
        #expect(try JSONParser.parse(value.serialized()) == value)
        #expect(value.object?.keys == ["b", "a", "c"])
        #expect(value["a"]?.string == "x\n\u{0}é😀")
    }

    @Test("A09: a duplicate key is refused")
    func duplicateKey() throws {
        let error = try #require(throws: MartletError.self) {
            try JSONParser.parse(#"{"model":"allowed","model":"forbidden"}"#)
        }
        #expect(error.message.contains("duplicate_key"))
        #expect(error.param == "model")
    }

    @Test("H05: depth is limited at the limit and one past it", arguments: [1_000, 100_000])
    func depth(count: Int) throws {
        let atLimit = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        #expect(throws: Never.self) { try JSONParser.parse(atLimit) }
        #expect(throws: MartletError.self) { try JSONParser.parse("[" + atLimit + "]") }
        #expect(throws: MartletError.self) { try JSONParser.parse(String(repeating: "[", count: count)) }
        #expect(throws: MartletError.self) { try JSONParser.parse(String(repeating: #"{"a":"#, count: count)) }
    }

    @Test("H05: values are counted, at the limit and one past it")
    func values() throws {
        let text = #"[1,{"a":[],"b":"x,y"},null]"#
        #expect(throws: Never.self) { try JSONParser.parse(text, limits: JSONLimits(depth: 8, values: 6)) }
        let error = try #require(throws: MartletError.self) {
            try JSONParser.parse(text, limits: JSONLimits(depth: 8, values: 5))
        }
        #expect(error.code == .tooLarge && error.message.contains("5 values"))
    }

    @Test(arguments: [
        "[1,]", "{\"a\":1,}", "01", "1.", "-", "1e400", "\"\\ud800\"", "\"a", "nul", "[1 2]", "{}x", "\"\\x\"", "NaN",
        "\"\u{1}\"", "{1:2}", "",
    ])
    func refusesWhatRFC8259Refuses(text: String) {
        #expect(throws: MartletError.self) { try JSONParser.parse(text) }
    }

    @Test func invalidUTF8IsRefused() {
        #expect(throws: MartletError.self) { try JSONParser.parse([0x22, 0xFF, 0x22] as [UInt8]) }
    }

    @Test func decodingGivesTheKeysInOneOrder() throws {
        let keys = (0..<40).map { "k\($0)" }
        let object = JSON.object(JSONObject(keys.map { ($0, .null) }))
        let decoded = try JSONDecoder.wire.decode(JSON.self, from: JSONEncoder.wire.encode(object))
        #expect(decoded.object?.keys.map { $0 } == keys.sorted())
    }

    @Test func decodingNamesTheField() throws {
        struct Inner: Codable { var count: Int }
        struct Outer: Codable { var inner: Inner }
        let error = try #require(throws: MartletError.self) {
            try JSONParser.parse(#"{"inner":{"count":"x"}}"#).decode(Outer.self)
        }
        #expect(error.param == "inner.count")
    }

    @Test func aReplysHeadIsWhatTheGeneralEncoderGives() throws {
        for length in [nil, 120] {
            let reply = InferenceReply(
                contentType: "application/json", headerLength: length, rows: 3, queueMicroseconds: 17,
                computeMicroseconds: 900)
            #expect(reply.head == Array(try JSONEncoder.wire.encode(reply)))
        }
    }
}
