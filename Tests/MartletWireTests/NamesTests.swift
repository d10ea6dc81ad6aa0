import MartletWire
import Testing

@Suite struct NamesTests {
    @Test("I13: a version has one spelling") func aVersionHasOneSpelling() throws {
        let plain = try Name.parseReference("demo", what: "model")
        #expect(plain.name == "demo" && plain.version == nil)
        let given = try Name.parseReference("demo@12", what: "model")
        #expect(given.name == "demo" && given.version == 12)
        for text in [
            "demo@", "demo@0", "demo@01", "demo@+1", "demo@-1", "demo@1 ", "demo@１", "demo@1@1",
            "demo@9223372036854775808",
        ] {
            #expect(throws: MartletError.self, "\(text)") { try Name.parseReference(text, what: "model") }
        }
    }
}
